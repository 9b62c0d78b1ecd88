// Programs with the package `anysocket`, without a name as most are, at a hub of the program `crosspoint` at
// which anysocket_service.mjs is. The hub demands the token 1234 and presents `{"house":"blue"}`. Exits with 0 if
// all went well.
//
//   node anysocket_user.mjs HOST PORT
import AnySocket from 'anysocket';
import assert from 'node:assert/strict';

const [host, port] = process.argv.slice(2);

async function connect(auth, accepts = () => true) {
  const socket = new AnySocket();
  const heard = [];
  socket.authPacket = () => auth;
  socket.onAuth = accepts;
  socket.on('message', ({ msg }) => heard.push(msg));
  const hub = await socket.connect('ws', host, Number(port));
  return { socket, hub, heard, id: socket.id };
}

// A number is the text of its digits.
await assert.rejects(connect(12345), (reason) => reason === 'Remote Connection Closed');
const blue = (packet) => packet.auth.house === 'blue';
const ann = await connect(1234, blue);
assert.equal(await ann.hub.rpc.hub.peers.watch(), true);
const bert = await connect({ token: 1234 }, blue);
// A client that expects another hub leaves.
const stranger = connect('1234', (packet) => packet.auth.house === 'red');
await assert.rejects(stranger, (reason) => reason === 'Invalid Auth Packet!');

// Programs without a name are seen by their ids. The stranger may take a moment to be gone.
let peers;
do peers = await ann.hub.rpc.hub.peers.list();
while (peers.length > 3);
const known = Object.fromEntries(peers.map((peer) => [peer.id, peer.name]));
assert.equal(known[ann.id], null);
assert.equal(known[bert.id], null);
const service = peers.find((peer) => peer.name === 'sums');
assert.equal(peers[0], service, 'those with a name come first');
const rest = await ann.hub.rpc.hub.peers.list(null, peers.at(-2).id);
assert.deepEqual(rest, [peers.at(-1)]);
assert.deepEqual(await ann.hub.rpc.hub.peers.list('su'), [service]);
while (!ann.heard.some((msg) => msg.event === 'came' && msg.peer.id === bert.id)) {
  await new Promise((done) => setTimeout(done, 5));
}

// The service, and the program behind it as a peer.
assert.equal(await ann.hub.rpc.hub.services.request('sums', 'add', [20, 22]), 42);
const sums = await bert.socket.proxy(service.id, bert.hub.id);
assert.equal(await sums.rpc.add(1, 2), 3);
assert.deepEqual((await sums.send('hi', true)).msg, { you: bert.id, said: 'hi' });
process.exit(0);
