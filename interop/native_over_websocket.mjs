// A member of a room over the native protocol, written from docs/protocol.md alone, with the
// WebSocket client `ws`. Says its third argument and prints what the first other member says.
//
//   node native_over_websocket.mjs PORT ROOM TEXT
import assert from 'node:assert/strict';
import { connect } from './websocket.mjs';

const [port, room, text] = process.argv.slice(2);
const HELLO = 0x01, WELCOME = 0x02, ENTER = 0x11, ENTERED = 0x19, SEND = 0x30, FROM_ROOM = 0x35;

const hub = await connect(`ws://127.0.0.1:${port}/`);
const frame = (type, ...body) => [...varint(1 + body.length), type, ...body];
const string = (value) => [0xa0 | value.length, ...Buffer.from(value)];

hub.send([...Buffer.from('XPT1'), ...frame(HELLO, 0x82, ...string('v'), 1, ...string('name'), ...string('node'))]);
assert.equal((await read()).type, WELCOME);

const name = Buffer.from(room);
hub.send(frame(ENTER, ...varint(5), ...varint(name.length), ...name, 0x81, ...string('room'), 0xc3));
const entered = await read();
assert.equal(entered.type, ENTERED);
assert.equal(entered.body[0], 5);
const inNumber = entered.body[1];

console.log('entered');
const heard = await read();
assert.equal(heard.type, FROM_ROOM);
console.log(Buffer.from(heard.body.slice(2)).toString());
hub.send(frame(SEND, ...varint(inNumber), ...Buffer.from(text)));
await hub.close();

async function read() {
  const bytes = await hub.next();
  let length = 0, at = 0;
  do length |= (bytes[at] & 0x7f) << (7 * at); while (bytes[at++] & 0x80);
  assert.equal(bytes.length, at + length, 'one frame in each message');
  return { type: bytes[at], body: bytes.slice(at + 1) };
}

function varint(value) {
  const bytes = [];
  for (; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}
