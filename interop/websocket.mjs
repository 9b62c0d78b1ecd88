// The WebSocket client `ws` with messages to wait for.
import WebSocket from 'ws';

export async function connect(url) {
  const socket = new WebSocket(url);
  const arrived = [], waiting = [];
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.on('message', (data) => {
    const bytes = [...data];
    const resolve = waiting.shift();
    if (resolve) resolve(bytes);
    else arrived.push(bytes);
  });
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  return {
    send: (bytes) => socket.send(Uint8Array.from(bytes)),
    next: () => (arrived.length ? arrived.shift() : new Promise((resolve) => waiting.push(resolve))),
    ping: (text) =>
      new Promise((resolve) => {
        socket.once('pong', (data) => resolve(data.toString()));
        socket.ping(text);
      }),
    close: () => {
      socket.close();
      return closed;
    },
  };
}
