// A channel's owner and member over the joint protocol, with the WebSocket client `ws`: it masks
// its frames and offers compression, as browsers do. Exits with 0 if all went as it should.
//
//   node joint_over_websocket.mjs PORT
import assert from 'node:assert/strict';
import { connect } from './websocket.mjs';

const port = process.argv[2];
const owner = await connect(`ws://127.0.0.1:${port}/`);
const member = await connect(`ws://127.0.0.1:${port}/any/path`);

const name = Buffer.from('interop');
// One byte in each message, as the html5 client of peote-net does it.
for (const byte of Buffer.from([0, 0, 1, name.length, ...name])) owner.send([byte]);
assert.deepEqual(await owner.next(), [0, 3, 1, 0, 0]);

member.send([0, 1, 7, name.length, ...name]);
assert.deepEqual(await member.next(), [0, 3, 7, 0, 0]);
assert.deepEqual(await owner.next(), [0, 4, 0, 0, 0, 0]);

member.send([6, 0, ...Buffer.from('hello')]);
assert.deepEqual(await owner.next(), [7, 0x80, 0, ...Buffer.from('hello')]);

// To all; two frames in one message arrive in two.
owner.send([1, 1, 3, 0x80, 65, 66, 1, 1, 3, 0x80, 67, 68]);
assert.deepEqual(await member.next(), [3, 0, 65, 66]);
assert.deepEqual(await member.next(), [3, 0, 67, 68]);

assert.equal(await owner.ping('are you there?'), 'are you there?');

// The owner closes its WebSocket: the member hears at once that the owner is lost.
await owner.close();
assert.deepEqual(await member.next(), [0, 4, 0, 2, 0, 1]);
await member.close();
