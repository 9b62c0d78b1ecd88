// Clients made with the package `anysocket` use what a Crosspoint hub is besides what AnySocket knows: its
// object `hub` (docs/anysocket.md, "The hub as a peer"). Prints `ok CASE` or `FAIL CASE why` for each case;
// exits with 0 if all went well. Without names it runs all cases.
//
//   node anysocket_hub.mjs HOST PORT [CASE ...]
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Client } from './anysocket_cases.mjs';
import { run } from './cases.mjs';

const [host, port, ...names] = process.argv.slice(2);
const connect = (options) => Client.connect(host, port, options);
const unique = (name) => `${name}-${randomUUID().slice(0, 8)}`;

// A client by a name of its own.
async function named(name) {
  const client = await connect({ auth: { name: unique(name), word: 'open sesame' } });
  client.name = (await client.hub.rpc.hub.me()).name;
  return client;
}

async function failure(promise) {
  const missing = Symbol('no failure');
  const reason = await promise.then(() => missing, (error) => error ?? 'failed without a reason');
  assert.notEqual(reason, missing, 'it should have failed');
  return reason;
}

const cases = {
  async me() {
    const ann = await named('ann');
    const me = await ann.hub.rpc.hub.me();
    assert.equal(me.id, ann.id);
    assert.match(me.name, /^ann-/);
    const nobody = await connect();
    assert.deepEqual(await nobody.hub.rpc.hub.me(), { id: nobody.id, name: null });
  },

  async peers() {
    const ann = await named('ann');
    const { peers } = ann.hub.rpc.hub;
    assert.equal(await peers.watch(true), true);
    const bert = await named('bert');
    const known = { id: bert.id, name: bert.name, protocol: 'anysocket' };
    assert.deepEqual((await ann.messages.next()).msg, { hub: 'peer', event: 'came', peer: known });
    assert.deepEqual(await peers.find(bert.name), known);
    assert.deepEqual(await peers.find(bert.id), known);
    assert.equal(await peers.find('nobody at all'), null);
    assert.deepEqual(await peers.list(bert.name), [known]);
    assert.ok((await peers.list()).length >= 2);
    const behind = await peers.list('', bert.name.slice(0, -1) + '\u{10ffff}');
    assert.ok(behind.every((peer) => peer.name === null), 'then those without a name');
    await bert.socket.stop();
    assert.deepEqual((await ann.messages.next()).msg, { hub: 'peer', event: 'went', peer: known });
    await peers.watch(false);
  },

  async rooms() {
    const [ann, bert] = [await named('ann'), await named('bert')];
    const room = unique('lobby');
    const entered = await ann.hub.rpc.hub.rooms.enter(room, { presence: true });
    assert.deepEqual(entered, { room, member: 0 });
    assert.deepEqual(await bert.hub.rpc.hub.rooms.enter(room), { room, member: 1 });
    const from = { member: 1, id: bert.id, name: bert.name, protocol: 'anysocket' };
    assert.deepEqual((await ann.messages.next()).msg, { hub: 'room', event: 'entered', room, from });
    assert.equal(await bert.hub.rpc.hub.rooms.send(room, 'hi Ann'), true);
    assert.deepEqual((await ann.messages.next()).msg, { hub: 'room', room, from, text: 'hi Ann' });
    await bert.hub.rpc.hub.rooms.send(room, { x: [1] });
    assert.deepEqual((await ann.messages.next()).msg, { hub: 'room', room, from, text: '{"x":[1]}' });
    await bert.hub.rpc.hub.rooms.send(room, Buffer.from([0xff, 0]));
    assert.deepEqual((await ann.messages.next()).msg, { hub: 'room', room, from, base64: '/wA=' });
    await ann.hub.rpc.hub.rooms.send(room, 'hi Bert');
    const anonymous = { hub: 'room', room, from: { member: 0 }, text: 'hi Bert' };
    assert.deepEqual((await bert.messages.next()).msg, anonymous);
    assert.equal(await bert.hub.rpc.hub.rooms.leave(room), true);
    const left = (await ann.messages.next()).msg;
    assert.deepEqual(left, { hub: 'room', event: 'left', room, from, reason: 'left' });
    assert.equal((await failure(bert.hub.rpc.hub.rooms.send(room, 'late'))).code, 404);
    assert.equal((await failure(ann.hub.rpc.hub.rooms.enter(room))).code, 409);
    const large = await failure(ann.hub.rpc.hub.rooms.send(room, 'x'.repeat(1 << 20)));
    assert.equal(large.code, 413);
  },

  async request() {
    const [ann, bert] = [await named('ann'), await named('bert')];
    const { hub } = ann.hub.rpc;
    assert.equal(await hub.request(bert.name, 'hello', ['Bert']), 'Hello Bert');
    assert.equal(await hub.request(bert.id, 'ns.sum', [1, 2, 3], 5000), 6);
    // The caller is the hub, for the callee.
    assert.equal(await hub.request(bert.name, 'ns.deep.who'), bert.hub.id);
    const bytes = await hub.request(bert.name, 'same', Buffer.from([1, 255]));
    assert.deepEqual(bytes, Buffer.from([1, 255]));
    const thrown = await failure(hub.request(bert.name, 'fail.thrown', []));
    assert.deepEqual([thrown.error, thrown.code], ['thrown on purpose', 500]);
    assert.equal((await failure(hub.request(bert.name, 'no.such', []))).code, 404);
    assert.equal((await failure(hub.request('nobody at all', 'hello', []))).code, 404);
    // A message; Bert answers it as he likes.
    bert.socket.on('message', (packet) => packet.msg?.ask && packet.reply({ told: packet.msg.ask }));
    assert.deepEqual(await hub.request(bert.name, '', { ask: 'well?' }), { told: 'well?' });
    assert.equal((await failure(hub.request(bert.name, '', { silence: true }, 50))).code, 408);
    assert.equal(await hub.notify(bert.name, '', { news: 1 }), true);
    assert.deepEqual((await bert.messages.next()).msg, { ask: 'well?' });
    assert.deepEqual((await bert.messages.next()).msg, { silence: true });
    assert.deepEqual((await bert.messages.next()).msg, { news: 1 });
    const pending = failure(hub.request(bert.name, '', { silence: true }));
    await bert.messages.next();
    await bert.socket.stop();
    assert.equal((await pending).code, 503);
    assert.ok(ann.connected.empty && bert.connected.empty, 'nobody hears of such links');
  },

  async services() {
    const [ann, bert] = [await named('ann'), await named('bert')];
    const service = unique('math');
    assert.equal((await failure(ann.hub.rpc.hub.services.request(service, 'ns.sum', [1]))).code, 404);
    assert.equal(await bert.hub.rpc.hub.services.provide(service), true);
    assert.equal(await ann.hub.rpc.hub.services.request(service, 'ns.sum', [1, 41]), 42);
    assert.equal(await bert.hub.rpc.hub.services.provide(service, false), true);
  },

  async secure() {
    const ann = await named('ann');
    assert.equal(await ann.hub.rpc.hub.secure(), true);
    assert.equal(await ann.switched.next(), ann.hub);
    assert.equal((await ann.hub.rpc.hub.me()).id, ann.id);
    assert.equal((await failure(ann.hub.rpc.hub.secure())).code, 409);
    const bert = await named('bert');
    assert.equal(await bert.hub.rpc.hub.request(ann.name, 'hello', ['Ann']), 'Hello Ann');
  },

  async mistakes() {
    const { rpc } = (await connect()).hub;
    for (const call of [rpc.hub, rpc.hub.none, rpc.hub.me.too]) {
      assert.equal((await failure(call())).code, 404);
    }
    const wrong = await failure(rpc.hub.rooms.enter({}));
    assert.equal(wrong.code, 400);
    assert.match(wrong.error, /^parameter 1 has to be/);
    assert.equal(wrong.details, "method: 'hub,rooms,enter'");
  },
};

await run(names, cases, {}, Client.stopAll);
