// Clients of `socket.io-client` 2 and 4, with the plugin `socket.io-p2p-plugin` from npm, against the hub.
//
//     node socketio_clients.mjs URL TRANSPORTS VERSIONS [CASE...]
//
// TRANSPORTS are those of the clients, with commas between them. VERSIONS are those of the two clients that meet, such
// as 4,2.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import plugin from '@gigasource/socket.io-p2p-plugin/src/p2p-client-plugin.js';
import old from 'socket.io-client';
import { io as recent } from 'socket.io-client-4';
import { Queue, limited, run } from './cases.mjs';

const [url, transports, versions, ...names] = process.argv.slice(2);
const [first, second] = versions.split(',');

const open = new Set();
let serial = 0;

// A connected client. `id` is null for one without a name.
async function connect(version, id, { options = {}, query = {} } = {}) {
  const socket = start(version, id, { options, query });
  await happens(socket, 'connect');
  return socket;
}

function start(version, id, { options = {}, query = {} } = {}) {
  const io = version === '2' ? old : recent;
  const named = id === null ? query : { clientId: id, ...query };
  const socket = io(url, {
    transports: transports.split(','), query: named, forceNew: true, reconnection: false, ...options,
  });
  open.add(socket);
  socket.errors = new Queue('an error of the server');
  socket.on('SERVER_ERROR', (error) => socket.errors.push(error));
  return plugin(socket, id);
}

function close() {
  open.forEach((socket) => socket.disconnect());
  open.clear();
}

// The arguments of an event.
function happens(socket, event) {
  return limited(new Promise((resolve) => socket.once(event, (...args) => resolve(args))), event);
}

// The arguments of the acknowledgement of an event.
function asks(socket, event, ...args) {
  return limited(new Promise((resolve) => socket.emit(event, ...args, (...answer) => resolve(answer))), event);
}

// The same of an event for another client.
function asksPeer(socket, target, event, ...args) {
  return limited(new Promise((resolve) => socket.emitTo(target, event, ...args, (...answer) => resolve(answer))), event);
}

// Everything that was said before has been carried out.
async function settled(socket) {
  await asks(socket, 'GET_CLIENT_CONNECTED_STATUS', 'nobody');
}

const bytes = (value) => Buffer.from(value);
const hash = (value) => createHash('sha256').update(value).digest('hex');

// A name that no other case and no other run of this program has.
function named(name) {
  return `${name}-${process.pid}-${serial}`;
}

// Two clients with new names.
async function pair() {
  serial += 1;
  const names = ['ann', 'bob'].map(named);
  const sockets = await Promise.all([connect(first, names[0]), connect(second, names[1])]);
  return [...sockets, ...names];
}

// A stream from one to the other, once both have it.
async function stream(ann, bob, target, channel, options) {
  const given = new Queue('a stream');
  const accept = (duplex, args) => given.push([duplex, args]);
  if (typeof channel === 'string') bob.onAddP2pStream(channel, accept, options);
  else bob.onAddP2pStream(options ?? {}, accept);
  const near = await (channel ? ann.addP2pStream(target, channel, {}) : ann.addP2pStream(target, {}));
  const [far, args] = await given.next();
  return [near, far, args];
}

// Everything that comes until the end.
function collect(duplex) {
  const parts = [];
  duplex.on('data', (part) => parts.push(part));
  return limited(new Promise((resolve) => duplex.once('end', () => resolve(Buffer.concat(parts)))), 'the end');
}

const cases = {
  async connect() {
    const [ann, , annId] = await pair();
    assert.equal(typeof ann.id, 'string');
    const list = await ann.getClientList();
    assert(list.includes(annId));
    assert.equal(await ann.isClientConnected(annId), true);
    assert.equal(await ann.isClientConnected('nobody'), null);
  },

  async emit() {
    const [ann, bob, , bobId] = await pair();
    const heard = happens(bob, 'said');
    ann.emitTo(bobId, 'said', 1, 'two', { three: [null, 'é€😀'] }, bytes('four'));
    const [one, two, three, four] = await heard;
    assert.deepEqual([one, two, three], [1, 'two', { three: [null, 'é€😀'] }]);
    assert.equal(bytes(four).toString(), 'four');
  },

  async 'emit-ack'() {
    const [ann, bob, annId, bobId] = await pair();
    bob.on('sum', (a, b, callback) => callback(a + b, { bytes: bytes([1, 2, 3]) }, bytes([])));
    ann.on('sum', (a, b, callback) => callback());
    const [sum, { bytes: three }, none] = await asksPeer(ann, bobId, 'sum', 1, 2);
    assert.deepEqual([sum, [...bytes(three)], bytes(none).length], [3, [1, 2, 3], 0]);
    assert.deepEqual(await asksPeer(bob, annId, 'sum', 1, 2), []);
    const many = await Promise.all(
      Array.from({ length: 200 }, (_, index) => asksPeer(ann, bobId, 'sum', index, 1)),
    );
    many.forEach(([answer], index) => assert.equal(answer, index + 1));
  },

  async 'emit-self'() {
    const [ann, , annId] = await pair();
    ann.on('again', (value, callback) => callback(value));
    assert.deepEqual(await asksPeer(ann, annId, 'again', 'x'), ['x']);
  },

  async 'emit-large'() {
    const [ann, bob, , bobId] = await pair();
    bob.on('large', (text, attached, callback) => callback(text.length, hash(attached)));
    // The body of a request holds both, with the attachment in base64, and has 1 MB at the most.
    const most = transports.startsWith('polling') ? 400_000 : 900_000;
    const attached = Buffer.alloc(most, 'ab');
    const [length, digest] = await asksPeer(ann, bobId, 'large', 'é'.repeat(most / 4), attached);
    assert.deepEqual([length, digest], [most / 4, hash(attached)]);
  },

  async 'emit-missing'() {
    const [ann] = await pair();
    ann.emitTo('nobody', 'said');
    assert.equal(await ann.errors.next(), 'Error: Core: Client nobody is not connected to server');
    ann.emitTo('nobody', 'said', () => assert.fail('nobody answers'));
    await ann.errors.next();
    await settled(ann);
  },

  async target() {
    const [ann, bob, annId, bobId] = await pair();
    const added = new Queue('a target');
    bob.onAddP2pTarget((id) => added.push(id));
    await ann.addP2pTarget(bobId);
    await ann.addP2pTarget(bobId);
    assert.deepEqual([await added.next(), await added.next()], [annId, annId]);
    const gone = new Queue('the end of a target');
    ann.onP2pTargetDisconnect((id) => gone.push(id));
    bob.disconnect();
    assert.deepEqual([await gone.next(), await gone.next()], [bobId, bobId]);
    await settled(ann);
    assert(gone.empty);
    await assert.rejects(limited(ann.addP2pTarget(bobId).catch((text) => { throw new Error(text); }), 'a target'));
  },

  async rooms() {
    const [ann, bob] = await pair();
    const cat = await connect(first, named('cat'));
    const [annHeard, bobHeard] = [ann, bob].map((socket) => {
      const heard = new Queue('news');
      socket.on('news', (...args) => heard.push(args));
      return heard;
    });
    const room = named('room');
    await Promise.all([ann, bob].map((socket) => new Promise((resolve) => socket.joinRoom(room, resolve))));
    ann.emitRoom(room, 'news', { n: 1 }, 'two');
    assert.deepEqual(await bobHeard.next(), [{ n: 1 }, 'two']);
    cat.emitRoom(room, 'news', 'from outside', { attached: bytes('x') });
    for (const heard of [annHeard, bobHeard]) {
      const [text, { attached }] = await heard.next();
      assert.deepEqual([text, bytes(attached).toString()], ['from outside', 'x']);
    }
    await new Promise((resolve) => bob.leaveRoom(room, resolve));
    cat.emitRoom(room, 'news', 'after');
    assert.deepEqual(await annHeard.next(), ['after']);
    await settled(bob);
    assert(bobHeard.empty && annHeard.empty);
  },

  async service() {
    const [ann, bob, , bobId] = await pair();
    const service = named('service');
    bob.provideService(service, (value, callback) => callback({ value }));
    // The plugin looks first whether somebody provides it.
    const provided = async () => {
      while (!(await asks(ann, 'CHECK_API_NAME', service))[0]) await new Promise(setImmediate);
    };
    await limited(provided(), 'the service');
    assert.deepEqual(await asks(ann, 'USE_API', service, 5), [{ value: 5 }]);
    const refused = new Queue('a refusal');
    ann.provideService(service, () => {}, (error) => refused.push(error));
    assert.equal(await refused.next(), `Duplicated API name: ${service}`);
    assert.deepEqual(await asks(ann, 'CHECK_API_NAME', service), [true]);
    ann.destroyService(service);
    await settled(ann);
    assert.deepEqual(await asks(ann, 'CHECK_API_NAME', service), [true]);
    bob.destroyAllServices();
    await settled(bob);
    assert.deepEqual(await asks(ann, 'CHECK_API_NAME', service), [false]);
    bob.provideService(service, () => {});
    await limited(provided(), 'the service');
    bob.disconnect();
    await limited((async () => {
      while (await ann.isClientConnected(bobId)) await new Promise(setImmediate);
    })(), 'the end of a client');
    assert.deepEqual(await asks(ann, 'CHECK_API_NAME', service), [false]);
  },

  async stream() {
    const [ann, bob, , bobId] = await pair();
    const [near, far] = await stream(ann, bob, bobId);
    const there = collect(far);
    const large = Buffer.alloc(1_000_000);
    large.forEach((_, index) => { large[index] = (index * 7) % 251; });
    for (let at = 0; at < large.length; at += 50_000) near.write(large.subarray(at, at + 50_000));
    // The plugin sends what `end` has at once, before what waits.
    await new Promise((resolve) => near.write('', resolve));
    near.end('the end');
    const all = await there;
    assert.equal(hash(all), hash(Buffer.concat([large, bytes('the end')])));
  },

  async 'stream-both-ways'() {
    const [ann, bob, , bobId] = await pair();
    const [near, far, args] = await stream(ann, bob, bobId, ['x', 5]);
    assert.deepEqual(args, ['x', 5]);
    near.write('ping');
    const [ping] = await happens(far, 'data');
    assert.equal(bytes(ping).toString(), 'ping');
    far.write('pong');
    const [pong] = await happens(near, 'data');
    assert.equal(bytes(pong).toString(), 'pong');
  },

  async 'stream-channel'() {
    const [ann, bob, , bobId] = await pair();
    bob.onAddP2pStream({}, () => assert.fail('it is for a channel'));
    const [near, far] = await stream(ann, bob, bobId, 'logs');
    const there = collect(far);
    near.end('x');
    assert.equal((await there).toString(), 'x');
  },

  async 'stream-backpressure'() {
    const [ann, bob, , bobId] = await pair();
    const [near, far] = await stream(ann, bob, bobId, undefined, { highWaterMark: 10 });
    let taken = 0;
    const write = (size) => near.write(Buffer.alloc(size), () => { taken += 1; });
    for (let count = 0; count < 5; count += 1) write(20);
    await settled(ann);
    await settled(bob);
    await settled(ann);
    assert.equal(taken, 0, 'the reader has taken nothing');
    let bytesRead = 0;
    far.on('data', (part) => { bytesRead += part.length; });
    await limited((async () => {
      while (bytesRead < 100) await new Promise(setImmediate);
    })(), 'all bytes');
  },

  async 'stream-destroyed'() {
    const [ann, bob, , bobId] = await pair();
    const [near, far] = await stream(ann, bob, bobId);
    const closed = happens(near, 'close');
    far.destroy();
    await closed;
  },

  async 'stream-peer-leaves'() {
    const [ann, bob, , bobId] = await pair();
    const [near] = await stream(ann, bob, bobId);
    const closed = happens(near, 'close');
    bob.disconnect();
    await closed;
  },

  async 'stream-missing'() {
    const [ann] = await pair();
    const refused = await limited(ann.addP2pStream('nobody', {}).then(() => null, (text) => text), 'a stream');
    assert.equal(refused, 'Stream: Client nobody is not connected to server');
  },

  async duplicate() {
    const [, bob, annId, bobId] = await pair();
    const other = start(first, bobId);
    const gone = happens(other, 'disconnect');
    assert.match(await other.errors.next(), /^p2p Socket.io lib: Duplicated clientId /);
    assert.equal((await gone)[0], 'io server disconnect');
    bob.on('who', (callback) => callback('the first'));
    const cat = await connect(first, `${annId}-cat`);
    assert.deepEqual(await asksPeer(cat, bobId, 'who'), ['the first']);
  },

  // Nothing is resumed, and the same name can come again.
  async 'connect-again'() {
    const [ann, bob, annId] = await pair();
    // A client of version 2 that connects before its last connection is closed waits in vain.
    const closed = happens(ann.io.engine, 'close');
    ann.disconnect();
    await closed;
    await limited((async () => {
      while (await bob.isClientConnected(annId)) await new Promise(setImmediate);
    })(), 'the end of a client');
    ann.connect();
    await happens(ann, 'connect');
    assert.equal(await bob.isClientConnected(annId), true);
  },

  // Nothing is lost, doubled or overtaken while both clients go over to the last of their transports.
  async upgrade() {
    const [ann, bob, , bobId] = await pair();
    const last = transports.split(',').at(-1);
    const heard = [];
    bob.on('count', (count) => heard.push(count));
    const isUpgraded = () => [ann, bob].every((socket) => socket.io.engine.transport.name === last);
    let count = 0;
    const say = () => {
      ann.emitTo(bobId, 'count', count);
      count += 1;
    };
    await limited((async () => {
      while (!isUpgraded()) {
        say();
        await new Promise(setImmediate);
      }
    })(), 'the upgrade');
    while (count % 100 > 0 || count < 300) say();
    bob.on('all', (callback) => callback());
    await asksPeer(ann, bobId, 'all');
    assert.deepEqual(heard, Array.from({ length: count }, (_, index) => index));
  },

  async heartbeat() {
    const [ann, bob, , bobId] = await pair();
    // The hub of the test has an interval of 300 ms, and both sides give up after 4.3 s without a heartbeat.
    await new Promise((resolve) => setTimeout(resolve, 5000));
    bob.on('alive', (callback) => callback(true));
    assert.deepEqual(await asksPeer(ann, bobId, 'alive'), [true]);
  },

  async 'many-attachments'() {
    const [ann, bob, , bobId] = await pair();
    bob.on('ten', (parts, callback) => callback(...parts.map((part) => bytes(part).toString())));
    const parts = Array.from({ length: 10 }, (_, index) => bytes(`part ${index}`));
    const heard = await asksPeer(ann, bobId, 'ten', parts);
    assert.deepEqual(heard, parts.map(String));
  },

  async 'other-namespace'() {
    const io = first === '2' ? old : recent;
    const socket = io(`${url}/unknown`, { transports: transports.split(','), forceNew: true, reconnection: false });
    open.add(socket);
    const refused = await happens(socket, first === '2' ? 'error' : 'connect_error');
    assert.equal(refused[0].message ?? refused[0], 'Invalid namespace');
  },

  // The first generation, whose package is not offered any more, in the words of its clients.
  async 'first-pair'() {
    const [ann, bob, annId, bobId] = await pair();
    bob.once('P2P_REGISTER', (id, callback) => callback(id === annId));
    assert.deepEqual(await asks(ann, 'P2P_REGISTER', bobId), [true]);
    bob.on('sum', (a, b, callback) => callback(a + b));
    const wanted = { targetClientId: bobId, event: 'sum', args: [1, 2] };
    assert.deepEqual(await asks(ann, 'P2P_EMIT_ACKNOWLEDGE', wanted), [3]);
    const heard = happens(bob, 'note');
    ann.emit('P2P_EMIT', { targetClientId: bobId, event: 'note', args: ['x', bytes('y')] });
    const [x, y] = await heard;
    assert.deepEqual([x, bytes(y).toString()], ['x', 'y']);
    bob.once('P2P_REGISTER_STREAM', (callback) => callback(true));
    assert.deepEqual(await asks(ann, 'P2P_REGISTER_STREAM', bobId), [true]);
    const told = [ann, bob].map((socket) => new Promise((resolve) => {
      socket.once('P2P_UNREGISTER', (callback) => { callback(); resolve(); });
    }));
    assert.deepEqual(await asks(bob, 'P2P_UNREGISTER'), []);
    await limited(Promise.all(told), 'P2P_UNREGISTER');
  },

  async 'first-refused'() {
    const [ann, bob, , bobId] = await pair();
    bob.once('P2P_REGISTER', (id, callback) => callback(false));
    assert.deepEqual(await asks(ann, 'P2P_REGISTER', bobId), [false]);
    assert.equal(await ann.errors.next(), `Error: Target client ${bobId} refuses the connection`);
    assert.deepEqual(await asks(ann, 'P2P_REGISTER', 'nobody'), [false]);
    assert.equal(await ann.errors.next(), "Error: Could not find target client 'nobody' socket");
    assert.equal(await ann.errors.next(), 'Error: Target client is not registered to the server');
  },

  async 'first-leaves'() {
    for (const leaving of [0, 1]) {
      const [ann, bob, , bobId] = await pair();
      bob.once('P2P_REGISTER', (id, callback) => callback(true));
      await asks(ann, 'P2P_REGISTER', bobId);
      const sockets = [ann, bob];
      const gone = happens(sockets[1 - leaving], 'P2P_DISCONNECT');
      sockets[leaving].disconnect();
      await gone;
    }
  },

  // The generation between the two.
  async between() {
    const [ann, bob, annId, bobId] = await pair();
    bob.once('MULTI_API_ADD_TARGET', (id, callback) => callback());
    assert.deepEqual(await asks(ann, 'MULTI_API_ADD_TARGET', bobId), []);
    const info = { sourceStreamId: 's', targetStreamId: 't', targetClientId: bobId };
    const offered = new Promise((resolve) => {
      bob.once('MULTI_API_CREATE_STREAM', (given, callback) => { callback(); resolve(given); });
    });
    assert.deepEqual(await asks(ann, 'MULTI_API_CREATE_STREAM', info), []);
    assert.deepEqual(await offered, { ...info, sourceClientId: annId });
    const gone = happens(ann, 'MULTI_API_TARGET_DISCONNECT');
    bob.disconnect();
    assert.deepEqual(await gone, [bobId]);
    const [text] = await asks(ann, 'MULTI_API_ADD_TARGET', bobId);
    assert.equal(text, `Client ${bobId} is not registered to server`);
  },
};

await run(names, cases, {}, close);
