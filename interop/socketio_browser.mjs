// The bundle of the package `socket.io-client` in Chromium: two pages stream to each other, as the plugin
// `socket.io-p2p-plugin` does it. The pages are of another origin than the hub. Prints `ok CASE` or `FAIL CASE why` for
// each case; exits with 0 if all went well. The environment variable CHROMIUM may name the browser.
//
//   node socketio_browser.mjs URL BYTES [CASE ...]
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { chromium } from 'playwright-core';
import { run } from './cases.mjs';

const [url, count, ...names] = process.argv.slice(2);
const bytes = Number(count);
// A hub that is not optimised, with nothing but one processor, takes a minute for 50 MB each way.
const LIMIT_MS = 180_000;

const main = createRequire(import.meta.url).resolve('socket.io-client-4');
const bundle = await readFile(join(dirname(main), '../../dist/socket.io.min.js'));
const site = createServer((request, response) => {
  const script = request.url === '/socket.io.js';
  response.setHeader('content-type', script ? 'text/javascript' : 'text/html');
  response.end(script ? bundle : '<!doctype html><title>Socket.IO</title><script src="/socket.io.js"></script>');
});
await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));

// The tests may run as root, where Chromium has no sandbox. It sees this page and nothing else.
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });

// A page whose client has this name. Inside of it `receive` waits for a stream, and `send` makes one; both give the hash
// of all of it.
async function open(clientId, transports) {
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error('in the page:', error));
  await page.goto(`http://127.0.0.1:${site.address().port}/`);
  await page.evaluate(
    async ([url, clientId, transports]) => {
      window.socket = io(url, { query: { clientId }, transports, reconnection: false });
      const ask = (...args) => new Promise((resolve) => socket.emit(...args, (...answer) => resolve(answer)));
      const hash = async (data) => [...new Uint8Array(await crypto.subtle.digest('SHA-256', data))].join(' ');
      const event = (id) => `P2P_EMIT_STREAM-from-stream-${id}`;
      window.received = new Promise((resolve) => {
        socket.on('CREATE_STREAM', ({ sourceStreamId }, made) => {
          const parts = [];
          socket.on(event(sourceStreamId), (part, taken) => {
            if (part === null) resolve(new Blob(parts).arrayBuffer().then(hash));
            else parts.push(part);
            taken();
          });
          made();
        });
      });
      window.send = async (targetClientId, length) => {
        const [sourceStreamId, targetStreamId] = [crypto.randomUUID(), crypto.randomUUID()];
        const [refused] = await ask('CREATE_STREAM', { sourceStreamId, targetStreamId, targetClientId });
        if (refused) throw new Error(refused);
        const all = new Uint8Array(length);
        const most = 65_536;
        for (let at = 0; at < length; at += most) {
          const part = all.subarray(at, at + most);
          crypto.getRandomValues(part);
          await ask('P2P_EMIT', targetClientId, event(sourceStreamId), [part]);
        }
        await ask('P2P_EMIT', targetClientId, event(sourceStreamId), [null]);
        return hash(all);
      };
      await new Promise((resolve, reject) => {
        socket.on('connect', resolve);
        socket.on('connect_error', reject);
      });
    },
    [url, clientId, transports],
  );
  return page;
}

// Both stream to each other at once. Gives the transports that the clients have in the end.
async function stream(transports, length) {
  const ids = ['ann', 'bob'].map((name) => `${name}-${process.pid}-${transports}`);
  const pages = await Promise.all(ids.map((id) => open(id, transports)));
  const sent = pages.map((page, index) => (
    page.evaluate(([target, length]) => send(target, length), [ids[1 - index], length])
  ));
  const received = pages.map((page) => page.evaluate(() => received));
  const [toBob, toAnn] = await Promise.all(sent);
  assert.deepEqual(await Promise.all(received), [toAnn, toBob]);
  return Promise.all(pages.map((page) => page.evaluate(() => socket.io.engine.transport.name)));
}

const cases = {
  // As clients are without options: requests first, and a WebSocket as soon as it can be had.
  async stream() {
    assert.deepEqual(await stream(undefined, bytes), ['websocket', 'websocket']);
  },

  // Where there are no WebSockets.
  async 'stream-polling'() {
    assert.deepEqual(await stream(['polling'], Math.ceil(bytes / 10)), ['polling', 'polling']);
  },
};

await run(names, cases, {}, async () => {}, LIMIT_MS);
