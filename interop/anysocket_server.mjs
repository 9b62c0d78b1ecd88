// A server made with the package `anysocket` that does what anysocket_convention.mjs says. Listens
// on 127.0.0.1, prints `listening PORT`, and runs until it is ended.
//
//   node anysocket_server.mjs PORT        (0: any free port)
import AnySocket from 'anysocket';
import { ACCEPTED, callOf, methods } from './anysocket_convention.mjs';

const server = new AnySocket();
server.onAuth = (packet) => packet.auth === ACCEPTED;
server.canProxy = () => true;
server.setRPC(methods);

// Clients that have been announced or have said something: the package announces a client some time after
// the client may speak.
const clients = new Set();
const held = new Map(); // peer -> its requests on hold

server.on('connected', (peer) => clients.add(peer));
server.on('disconnected', (peer) => {
  clients.delete(peer);
  held.delete(peer);
});
server.on('message', (packet) => {
  clients.add(packet.peer);
  const order = packet.msg !== null && typeof packet.msg === 'object' && orders[packet.msg.do];
  if (order) order(packet);
  else packet.reply(packet.msg);
});
// The package gives nobody the promise of a reply, which fails when the asker has gone.
process.on('unhandledRejection', (reason) => console.error('unhandled rejection:', reason));

const orders = {
  send(packet) {
    packet.peer.send(packet.msg.value);
    packet.reply({ ok: true });
  },
  async ask(packet) {
    const answer = await packet.peer.send(packet.msg.value, true);
    packet.reply({ answer: answer.msg });
  },
  async call(packet) {
    packet.reply(await callOf(packet.peer, packet.msg));
  },
  async time(packet) {
    packet.reply(await packet.peer.getSyncedTime(true));
  },
  switch(packet) {
    packet.reply({ ok: true });
    packet.peer.e2e();
  },
  hold(packet) {
    held.set(packet.peer, [...(held.get(packet.peer) ?? []), packet]);
  },
  release(packet) {
    const all = held.get(packet.peer) ?? [];
    held.delete(packet.peer);
    for (const one of all.reverse()) one.reply(one.msg.value);
    packet.reply({ released: all.length });
  },
  silence() {},
  broadcast(packet) {
    for (const client of clients) if (client !== packet.peer) client.send(packet.msg.value);
  },
  disconnect(packet) {
    packet.peer.disconnect('told to');
  },
};

// As text, 0 is any free port; as a number, the package would take it for the default port. It does
// not tell the port either, but its HTTP server does.
await server.listen('ws', { host: '127.0.0.1', port: process.argv[2] });
const http = Object.getOwnPropertySymbols(server).find((symbol) => symbol.description === 'HTTPServer');
console.log(`listening ${server[http].address().port}`);
