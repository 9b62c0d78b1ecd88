// A server made with `socket.io` 2 and the plugin `socket.io-p2p-plugin` from npm. Listens on 127.0.0.1, prints
// `listening PORT`, and runs until it is ended.
//
//   node socketio_server.mjs PORT        (0: any free port)
import { createServer } from 'node:http';
import plugin from '@gigasource/socket.io-p2p-plugin/src/p2p-server-plugin.js';
import io from 'socket.io';

const http = createServer();
plugin(io(http));
http.listen(Number(process.argv[2]), '127.0.0.1', () => console.log(`listening ${http.address().port}`));
