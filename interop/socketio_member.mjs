// A program with `socket.io-client` and the plugin in a room of a Crosspoint hub: it prints what it hears, says hello to
// the first one, and leaves when it has heard COUNT. With a token it first looks that others are not let in.
//
//     node socketio_member.mjs URL ROOM COUNT [TOKEN]
import assert from 'node:assert/strict';
import plugin from '@gigasource/socket.io-p2p-plugin/src/p2p-client-plugin.js';
import old from 'socket.io-client';
import { io } from 'socket.io-client-4';
import { limited } from './cases.mjs';

const [url, room, count, token] = process.argv.slice(2);
const common = { forceNew: true, reconnection: false, transports: ['websocket'] };

function opened(socket, refused) {
  return limited(new Promise((resolve, reject) => {
    socket.on('connect', () => resolve(socket));
    socket.on(refused, (error) => reject(new Error(error.message ?? error)));
  }), 'the connection');
}

if (token) {
  const recent = (auth) => opened(io(url, { ...common, auth }), 'connect_error');
  const older = (query) => opened(old(url, { ...common, query }), 'error');
  const wrong = [recent({}), recent({ token: 'x' }), recent(undefined), older({}), older({ token: 'x' })];
  await Promise.all(wrong.map((socket) => assert.rejects(socket, /^Error: not allowed/)));
  const right = await Promise.all([recent({ token }), older({ token })]);
  right.forEach((socket) => socket.disconnect());
}
const socket = plugin(io(url, { ...common, query: { clientId: 'page' }, auth: { token } }), 'page');
await opened(socket, 'connect_error');
let heard = 0;
socket.on('message', (text) => {
  console.log(text);
  heard += 1;
  if (heard === 1) socket.emitRoom(room, 'message', 'hello from the page');
  if (heard === Number(count)) socket.disconnect();
});
socket.joinRoom(room, () => console.log('entered'));
