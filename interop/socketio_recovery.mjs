// Clients made with `socket.io-client` whose connections are lost, at a hub that waits for them.
//
//     node socketio_recovery.mjs URL TRANSPORTS WINDOW_MS      (TRANSPORTS: with commas between them)
//
// The hub waits for WINDOW_MS. Prints `ok` and what has gone well.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import olderClient from 'socket.io-client';
import { io } from 'socket.io-client-4';
import { Queue, limited, run } from './cases.mjs';

const [url, list, window] = process.argv.slice(2);
const transports = list.split(',');
const room = `room-${transports.join('-')}`;
const sockets = [];
let names = 0;

function connected(socket) {
  return limited(new Promise((resolve) => socket.once('connect', resolve)), 'the connection');
}

function disconnected(socket) {
  return limited(new Promise((resolve) => socket.once('disconnect', resolve)), 'the disconnect');
}

async function client(connect = io) {
  names += 1;
  const query = { clientId: `${room}-${names}` };
  const socket = connect(url, { forceNew: true, transports, query, reconnectionDelay: 50 });
  sockets.push(socket);
  socket.news = new Queue('news');
  socket.on('news', (...args) => socket.news.push(args));
  await connected(socket);
  return socket;
}

async function member(connect) {
  const socket = await client(connect);
  await new Promise((resolve) => socket.emit('JOIN_ROOM', room, resolve));
  return socket;
}

const tell = (socket, ...args) => socket.emit('EMIT_ROOM', room, 'news', ...args);

// All that was said before has been carried out when this is answered.
const settled = (socket) => new Promise((resolve) => socket.emit('GET_CLIENT_CONNECTED_STATUS', 'nobody', resolve));

// Takes the connection away from the client, whatever carries it.
function cut(socket) {
  const { transport } = socket.io.engine;
  if (transport.name === 'websocket') transport.ws._socket.destroy();
  else socket.io.engine.close();
}

// Keeps a client from connecting again for a while.
async function away(socket, loss, meanwhile) {
  socket.io.reconnection(false);
  const gone = disconnected(socket);
  loss(socket);
  const reason = await gone;
  assert.ok(['transport close', 'transport error', 'forced close'].includes(reason), reason);
  await meanwhile();
  socket.io.reconnection(true);
  socket.connect();
  await connected(socket);
}

const cases = {
  async recovered() {
    const [ann, bob] = [await member(), await client()];
    assert.equal(ann.recovered, false);
    let said = 0;
    for (const loss of [cut, (socket) => socket.io.engine.close(), cut]) {
      tell(bob, said);
      assert.equal((await ann.news.next())[0], said);
      said += 1;
      const before = ann.id;
      const first = said;
      await away(ann, loss, async () => {
        for (; said < first + 50; said += 1) tell(bob, said, Buffer.from([said]), 'text');
        await settled(bob);
      });
      assert.equal(ann.recovered, true);
      assert.equal(ann.id, before);
      for (let number = first; number < said; number += 1) {
        const [got, bytes, text] = await ann.news.next();
        assert.deepEqual([got, bytes[0], text], [number, number, 'text']);
      }
      await settled(ann);
      assert.ok(ann.news.empty);
    }
  },

  // The client comes back by itself, in the middle of what is said to it.
  async byItself() {
    const [ann, bob] = [await member(), await client()];
    const { id } = ann;
    let recovered = 0;
    ann.on('connect', () => { recovered += Number(ann.recovered && ann.id === id); });
    for (let number = 0; number < 600; number += 1) {
      if (number % 100 === 50) {
        const back = connected(ann);
        cut(ann);
        await back;
      }
      tell(bob, number);
      if (number % 10 === 0) await settled(bob);
    }
    for (let number = 0; number < 600; number += 1) assert.equal((await ann.news.next())[0], number);
    assert.equal(recovered, 6);
    await settled(ann);
    assert.ok(ann.news.empty);
  },

  async stayedAway() {
    const ann = await member();
    const before = ann.id;
    await away(ann, cut, () => sleep(Number(window) + 500));
    assert.equal(ann.recovered, false);
    assert.notEqual(ann.id, before);
  },

  async left() {
    const ann = await member();
    const before = ann.id;
    ann.disconnect();
    const back = connected(ann);
    ann.connect();
    await back;
    assert.ok(!ann.recovered);
    assert.notEqual(ann.id, before);
  },

  // A client without recovery gets its arguments and nothing else.
  async older() {
    const [ann, bob] = [await member(olderClient), await client()];
    tell(bob, 1, 'two');
    assert.deepEqual(await ann.news.next(), [1, 'two']);
  },
};

await run([], cases, {}, async () => {
  for (const socket of sockets.splice(0)) socket.disconnect();
});
