// The browser bundle of the package `anysocket` in Chromium, on a server that follows
// anysocket_convention.mjs. Prints `ok CASE` or `FAIL CASE why` for each case; exits with 0 if all
// went well. Without names it runs all cases but `bundle`, which needs a server that serves the
// bundle itself. The environment variable CHROMIUM may name the browser, and TLS_PIN the fingerprint
// of a server that serves TLS alone; the cases with a proxied peer are not for that.
//
//   node anysocket_browser.mjs HOST PORT [CASE ...]
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once as happens } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { connect } from 'node:tls';
import { chromium } from 'playwright-core';
import { Client } from './anysocket_cases.mjs';
import { run } from './cases.mjs';
import { ACCEPTED } from './anysocket_convention.mjs';

const [host, port, ...names] = process.argv.slice(2);

// The page comes from this machine, since browsers encrypt only for secure origins, and from the host
// of the hub, which serves no others.
const main = createRequire(import.meta.url).resolve('anysocket');
const bundle = await readFile(join(dirname(main), '../dist/anysocket.browser.js'));
const site = createServer((request, response) => {
  const script = request.url === '/anysocket.js';
  response.setHeader('content-type', script ? 'text/javascript' : 'text/html');
  response.end(script ? bundle : '<!doctype html><title>AnySocket</title><script src="/anysocket.js"></script>');
});
await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));

// The tests may run as root, where Chromium has no sandbox. It sees this page and nothing else.
const args = ['--no-sandbox'];
const pin = process.env.TLS_PIN;
if (pin) {
  // Chromium knows a key by its hash, and the server tells that of its certificate.
  const socket = connect({ host, port, rejectUnauthorized: false });
  await happens(socket, 'secureConnect');
  const certificate = socket.getPeerX509Certificate();
  socket.destroy();
  assert.equal(certificate.fingerprint256.replaceAll(':', '').toLowerCase(), pin);
  const key = certificate.publicKey.export({ type: 'spki', format: 'der' });
  const hash = createHash('sha256').update(key).digest('base64');
  args.push(`--ignore-certificate-errors-spki-list=${hash}`);
}
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });

// A page with a client of its own. `page.evaluate` runs what it is given inside the page, where
// `client` is that client, `hub` its peer, and `once` waits for an event.
async function open(script) {
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error('in the page:', error));
  await page.goto(`http://${host}:${site.address().port}/`);
  if (script) await page.addScriptTag({ url: script });
  await page.evaluate(
    async ([host, port, auth]) => {
      window.client = new AnySocket();
      client.authPacket = () => auth;
      client.setRPC({
        hello: (name) => `Hello ${name}`,
        bytes: { join: (first, second) => Uint8Array.from([...first, ...second]) },
      });
      window.once = (event) => new Promise((resolve) => client.once(event, (...values) => resolve(values)));
      window.hub = await client.connect('ws', host, port);
      // Arguments are JSON on their way into the page and back; so bytes are made and read inside.
      window.talk = async (peer) => ({
        answer: (await peer.send({ text: 'zwölf € 🎲' }, true)).msg,
        greeting: await peer.rpc.hello('page'),
        sum: await peer.rpc.ns.sum(1, 2, 3),
        joined: [...(await peer.rpc.bytes.join(new Uint8Array([0, 127, 128]), new Uint8Array([255])))],
        failed: await peer.rpc.no.such('argument').catch((error) => error.code),
        time: await peer.getSyncedTime(true),
      });
    },
    [host, port, ACCEPTED],
  );
  return page;
}

// What `talk` finds out at a peer that echoes and has the methods of the convention.
function check({ time, ...found }) {
  assert.deepEqual(found, {
    answer: { text: 'zwölf € 🎲' },
    greeting: 'Hello page',
    sum: 6,
    joined: [0, 127, 128, 255],
    failed: 404,
  });
  assert.ok(time.rtt >= 0 && Math.abs(time.time - Date.now()) < 5000, JSON.stringify(time));
}

// A page with a proxied peer `peer`, which is a client in this program that echoes.
async function proxied() {
  const page = await open();
  const target = await Client.connect(host, port);
  target.socket.on('message', (packet) => packet.reply(packet.msg));
  await page.evaluate(async (id) => void (window.peer = await client.proxy(id, hub.id)), target.id);
  return { page, target, back: await target.connected.next() };
}

const cases = {
  async talk() {
    const page = await open();
    check(await page.evaluate(() => talk(hub)));
  },

  async large() {
    const page = await open();
    const same = await page.evaluate(async () => {
      const text = '0123456789äöü€漢'.repeat(100_000);
      return (await hub.send(text, true)).msg === text;
    });
    assert.ok(same, 'the same text comes back');
  },

  async 'by-server'() {
    const page = await open();
    const order = (value) => page.evaluate(async (value) => (await hub.send(value, true)).msg, value);
    assert.deepEqual(await order({ do: 'call', method: ['hello'], params: ['server'], bin: [] }), {
      result: 'Hello server',
      bin: false,
    });
    const base64 = (...bytes) => Buffer.from(bytes).toString('base64');
    assert.deepEqual(
      await order({ do: 'call', method: ['bytes', 'join'], params: [base64(0, 255), base64(1)], bin: [0, 1] }),
      { result: base64(0, 255, 1), bin: true },
    );
    assert.ok((await order({ do: 'time' })).rtt >= 0);
    await page.evaluate(() => void once('message').then(([packet]) => packet.reply({ heard: packet.msg })));
    assert.deepEqual(await order({ do: 'ask', value: 'are you a page?' }), { answer: { heard: 'are you a page?' } });
  },

  async e2ee() {
    const page = await open();
    const found = await page.evaluate(async () => {
      const switched = once('e2e');
      hub.e2e();
      await switched;
      return talk(hub);
    });
    check(found);
  },

  async 'e2ee-by-server'() {
    const page = await open();
    const found = await page.evaluate(async () => {
      const switched = once('e2e');
      await hub.send({ do: 'switch' }, true);
      await switched;
      return talk(hub);
    });
    check(found);
  },

  async proxy() {
    const { page, target, back } = await proxied();
    check(await page.evaluate(() => talk(peer)));
    assert.equal(await back.rpc.hello('node'), 'Hello node');
    assert.deepEqual(await back.rpc.bytes.join(Buffer.from([1]), Buffer.from([255])), Buffer.from([1, 255]));
    await page.evaluate(() => void (window.lost = once('disconnected')));
    await target.socket.stop();
    assert.ok(await page.evaluate(async () => (await lost)[0] === peer), 'the page hears that the target has gone');
    check(await page.evaluate(() => talk(hub)));
  },

  async 'proxy-e2ee'() {
    const { page, target, back } = await proxied();
    const switched = page.evaluate(async () => {
      const switched = once('e2e');
      peer.e2e();
      return (await switched)[0] === peer;
    });
    await target.encrypted(back);
    assert.ok(await switched, 'the page is told of the switch');
    check(await page.evaluate(() => talk(peer)));
    assert.equal(await back.rpc.hello('node'), 'Hello node');
  },

  async leaves() {
    const page = await open();
    const reason = await page.evaluate(async () => {
      const lost = once('disconnected');
      hub.send({ do: 'disconnect' });
      return (await lost)[1];
    });
    assert.equal(reason, 'Remote Connection Closed');
  },
};

const named = {
  async bundle() {
    const page = await open(`${pin ? 'https' : 'http'}://${host}:${port}/@anysocket`);
    check(await page.evaluate(() => talk(hub)));
  },
};

await run(names, cases, named, async () => {
  await Client.stopAll();
  for (const context of browser.contexts()) await context.close();
});
