// Clients with the plugin `socket.io-p2p-plugin` from npm against a Rust program in place of the one around the plugin's
// server (crates/crosspoint/examples/plugin_server.rs).
//
//     node socketio_program.mjs URL VERSION PART
//
// VERSION is that of `socket.io-client`, 2 or 4. PART is `first`, or `second` after a restart of the program.
import assert from 'node:assert/strict';
import plugin from '@gigasource/socket.io-p2p-plugin/src/p2p-client-plugin.js';
import old from 'socket.io-client';
import { io as recent } from 'socket.io-client-4';
import { Queue, limited } from './cases.mjs';

const [url, version, part] = process.argv.slice(2);
const io = version === '2' ? old : recent;

async function connect(id) {
  const socket = io(url, { query: { clientId: id }, forceNew: true, reconnection: false });
  socket.on('SERVER_ERROR', (error) => { throw new Error(`${id}: ${error}`); });
  const client = plugin(socket, id);
  await limited(new Promise((resolve) => socket.once('connect', resolve)), 'connect');
  return client;
}

function uses(client, service, ...args) {
  return limited(new Promise((resolve) => client.emit('USE_API', service, ...args, (...answer) => resolve(answer))), service);
}

// Everything that comes until the end.
function collect(duplex) {
  const parts = [];
  duplex.on('data', (data) => parts.push(data));
  return limited(new Promise((resolve) => duplex.once('end', () => resolve(Buffer.concat(parts)))), 'the end');
}

const parts = {
  async first() {
    const ann = await connect('ann');
    assert.deepEqual(await ann.getClientList(), ['ann']);
    assert.deepEqual(await uses(ann, 'greet', 'Ann'), ['hello, Ann']);

    const given = new Queue('a stream');
    ann.onAddP2pStream('files', (duplex, args) => given.push([duplex, args]));
    const done = uses(ann, 'download');
    const [file, args] = await given.next();
    assert.deepEqual(args, ['poem.txt']);
    const poem = (await collect(file)).toString();
    assert.equal(poem, 'roses are red, violets are blue\n'.repeat(1000));
    assert.deepEqual(await done, []);

    const echo = await limited(ann.addP2pStream('echo', {}), 'a stream');
    const back = collect(echo);
    await new Promise((resolve) => echo.write(Buffer.alloc(200_000, 'abc'), resolve));
    echo.end('the end');
    assert.equal((await back).toString(), 'abc'.repeat(66_666) + 'abthe end');

    for (let job = 0; job < 50; job += 1) {
      const [number] = await uses(ann, 'order', 'bob', { job });
      assert.equal(typeof number, 'number');
    }
    ann.disconnect();
  },

  async second() {
    const jobs = new Queue('a job');
    const socket = io(url, { query: { clientId: 'bob' }, forceNew: true, reconnection: false });
    const bob = plugin(socket, 'bob');
    bob.on('job', (what, callback) => {
      jobs.push(what.job);
      callback('done by bob');
    });
    for (let job = 0; job < 50; job += 1) assert.equal(await jobs.next(), job);
    // What comes while it is there, and nothing twice.
    const ann = await connect('ann');
    await uses(ann, 'order', 'bob', { job: 50 });
    assert.equal(await jobs.next(), 50);
    await uses(ann, 'greet', 'again');
    assert(jobs.empty);
    bob.disconnect();
    ann.disconnect();
  },
};

await parts[part]();
process.exit(0);
