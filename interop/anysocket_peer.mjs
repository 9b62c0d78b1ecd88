// A client made with the package `anysocket` that others can meet through a server. It answers every
// message with the very value that it got, and offers the methods of anysocket_convention.mjs. Prints
// `id ID` when it is connected, and what happens with other clients. Reads orders, one in a line:
//
//   proxy ID              reaches that client through the server; prints `linked ID`
//   unproxy ID            ends the link; prints `unlinked ID`, as it does when the other one ends it
//   switch ID             starts encryption; `encrypted ID` is printed whichever side starts it
//   ask ID JSON           asks that client; prints `answer JSON`
//   call ID JSON          calls a method; JSON as in the order {"do":"call"}, prints `result JSON`
//   stop                  disconnects and ends
//
//   node anysocket_peer.mjs HOST PORT
import AnySocket from 'anysocket';
import { createInterface } from 'node:readline';
import { ACCEPTED, callOf, methods } from './anysocket_convention.mjs';

const [host, port] = process.argv.slice(2);
const socket = new AnySocket();
const linked = new Map();

socket.authPacket = () => ACCEPTED;
socket.onAuth = () => true;
socket.setRPC(methods);

let hub;
socket.on('connected', (peer) => {
  // The package announces the hub at some time while it connects or afterwards.
  if (!hub || peer === hub) return;
  linked.set(peer.id, peer);
  console.log(`linked ${peer.id}`);
});
socket.on('disconnected', (peer) => {
  linked.delete(peer.id);
  console.log(`unlinked ${peer.id}`);
});
socket.on('e2e', (peer) => console.log(`encrypted ${peer.id}`));
socket.on('message', (packet) => packet.reply(packet.msg));
hub = await socket.connect('ws', host, port);
console.log(`id ${socket.id}`);

const orders = {
  proxy: (id) => socket.proxy(id, hub.id),
  unproxy: (id) => socket.unproxy(id, hub.id),
  switch: (id) => linked.get(id).e2e(),
  async ask(id, value) {
    const { msg } = await linked.get(id).send(JSON.parse(value), true);
    console.log(`answer ${JSON.stringify(msg)}`);
  },
  async call(id, value) {
    console.log(`result ${JSON.stringify(await callOf(linked.get(id), JSON.parse(value)))}`);
  },
  async stop() {
    await socket.stop();
    process.exit(0);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [order, id, ...rest] = line.split(' ');
  try {
    await orders[order](id, rest.join(' '));
  } catch (error) {
    console.log(`failed ${order} ${JSON.stringify(error?.message ?? error)}`);
  }
}
