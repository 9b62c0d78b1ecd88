// A program with the package `anysocket` in a room of a Crosspoint hub: it says hello, prints what it hears,
// and leaves when it has heard COUNT of others.
//
//   node room_member.mjs HOST PORT ROOM COUNT
import AnySocket from 'anysocket';

const [host, port, room, count] = process.argv.slice(2);
const socket = new AnySocket();
let heard = 0;
socket.on('message', async ({ msg }) => {
  if (msg.hub !== 'room' || msg.text === undefined) return;
  console.log(msg.text);
  heard += 1;
  if (heard === Number(count)) await socket.stop();
});
const hub = await socket.connect('ws', host, Number(port));
await hub.rpc.hub.rooms.enter(room);
await hub.rpc.hub.rooms.send(room, 'hello from node');
