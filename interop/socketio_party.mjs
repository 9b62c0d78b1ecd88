// A server made with `socket.io` and the plugin `socket.io-p2p-plugin`, both from npm, and a client of it with the
// plugin, called `node`. Prints `listening PORT` and what the client hears, and does what it is told line by line.
//
//     node socketio_party.mjs VERSION PORT        (VERSION: 2, 4, or 4-recovery with connection state recovery; PORT 0:
//                                                  any free port)
//
//     ask CLIENT EVENT JSON       says the event to a client, and prints `answer` with what it answers
//     call SERVICE JSON           the same of a service
//     room ROOM EVENT JSON        says the event in a room
//     stream CLIENT BYTES         opens a stream, writes so many bytes, and prints their hash
//     target CLIENT               names the client a target, and prints `target`, and `gone` when it goes
//     cut CLIENT ROOM EVENT JSON  closes the connection of a client, and says the event in a room as soon as it is lost
//     transports                  prints the transports of all clients of the server
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import pluginOfClients from '@gigasource/socket.io-p2p-plugin/src/p2p-client-plugin.js';
import plugin from '@gigasource/socket.io-p2p-plugin/src/p2p-server-plugin.js';
import older from 'socket.io';
import { Server } from 'socket.io-4';
import olderClient from 'socket.io-client';
import { io as recentClient } from 'socket.io-client-4';

const [version, port] = process.argv.slice(2);
const print = (...words) => console.log(words.join(' '));
const hash = () => createHash('sha256');

const http = createServer();
const options = version === '4-recovery' ? { connectionStateRecovery: {} } : {};
const server = version === '2' ? older(http) : new Server(http, options);
if (version !== '2') {
  // Where the plugin looks for them.
  Object.defineProperty(server.sockets, 'connected', { get: () => Object.fromEntries(server.sockets.sockets) });
}
plugin(server);
server.on('connect', (socket) => {
  socket.on('same', (...args) => args.pop()(...args));
  socket.on('kick', () => socket.disconnect());
});
await new Promise((resolve) => http.listen(Number(port), '127.0.0.1', resolve));
const url = `http://127.0.0.1:${http.address().port}`;

const connectClient = version === '2' ? olderClient : recentClient;
const client = pluginOfClients(connectClient(url, { query: { clientId: 'node' }, forceNew: true }), 'node');
client.on('same', (...args) => args.pop()(...args));
client.on('news', (...args) => print('news', JSON.stringify(args)));
client.onAddP2pTarget((id) => print('added', id));
client.joinRoom('lobby');
// What comes is hashed, and the hash told at the end.
client.onAddP2pStream((duplex) => {
  const digest = hash();
  duplex.on('data', (chunk) => digest.update(chunk));
  duplex.once('end', () => client.emitTo(duplex.targetClientId, 'hashed', digest.digest('hex')));
});
// What comes is said back.
client.onAddP2pStream('back', (duplex) => duplex.on('data', (chunk) => duplex.write(chunk)));

const parsed = (text) => JSON.parse(text ?? '[]');
const orders = {
  ask: (to, event, args) => client.emitTo(to, event, ...parsed(args), (...answer) => print('answer', JSON.stringify(answer))),
  call: (service, args) => client.emitService(service, ...parsed(args), (...answer) => print('answer', JSON.stringify(answer))),
  room: (room, event, args) => client.emitRoom(room, event, ...parsed(args)),
  target(to) {
    client.onP2pTargetDisconnect((id) => print('gone', id));
    return client.addP2pTarget(to).then(() => print('target'), (error) => print('refused', error));
  },
  cut(name, room, event, args) {
    const cut = [...server.sockets.sockets.values()].find(({ handshake }) => handshake.query.clientId === name);
    cut.once('disconnect', () => server.to(room).emit(event, ...parsed(args)));
    cut.conn.close();
  },
  transports: () => {
    const clients = server.engine.clients;
    print('transports', Object.values(clients).map((it) => it.transport.name).sort().join(','));
  },
  async stream(to, bytes) {
    const duplex = await client.addP2pStream(to, ['upload', Number(bytes)], {});
    const digest = hash();
    for (let left = Number(bytes); left > 0;) {
      const chunk = Buffer.alloc(Math.min(left, 50_000), left % 251);
      digest.update(chunk);
      left -= chunk.length;
      await new Promise((resolve) => duplex.write(chunk, resolve));
    }
    duplex.end();
    print('hash', digest.digest('hex'));
  },
};

client.on('connect', () => {
  client.provideService('double', (number, callback) => callback(2 * number));
  // The service is there when the server has said so.
  client.emit('CHECK_API_NAME', 'double', () => print('listening', http.address().port));
});
for await (const line of createInterface(process.stdin)) {
  const [order, ...words] = line.split(' ');
  await orders[order](...words);
}
