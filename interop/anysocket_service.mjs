// What was a server made with the package `anysocket`, as a program at a Crosspoint hub: it provides a service
// and can be reached as a peer (docs/anysocket.md, "A node server at the hub"). Prints what happens, and runs
// until its input ends.
//
//   node anysocket_service.mjs HOST PORT [TOKEN]
import AnySocket from 'anysocket';

const [host, port, token] = process.argv.slice(2);
const server = new AnySocket();

// As before: what others can call.
server.setRPC({ add: (a, b) => a + b });

// Was server.listen(...) and server.onAuth: the hub listens and checks. `name` is how others find this one.
server.authPacket = () => ({ name: 'sums', token });
const hub = await server.connect('ws', host, Number(port));

// Was server.on('connected') and server.on('disconnected'): the hub tells who comes and goes.
server.on('message', (packet) => {
  if (packet.peer === hub && packet.msg.hub === 'peer') {
    const { event, peer } = packet.msg;
    console.log(event, peer.id, peer.name ?? '-');
  } else if (packet.peer !== hub) {
    packet.reply({ you: packet.peer.id, said: packet.msg });
  }
});
await hub.rpc.hub.peers.watch();

// Was server.canProxy: at the hub every peer may reach every other, if its permissions say so. Who has reached
// this one is a proxied peer of it.
server.on('connected', (peer) => {
  if (peer !== hub) console.log('reached by', peer.id);
});

// Who asks for the service gets this program, or another one that provides it too.
await hub.rpc.hub.services.provide('sums');
console.log('ready', server.id);

process.stdin.resume().on('end', () => process.exit(0));
