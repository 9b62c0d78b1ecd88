// What the tests of the control center's page need: hubs, clients of them, and pages in Chromium.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import { io } from 'socket.io-client-4';
import { Queue, limited } from './cases.mjs';

const program = process.argv[2];
const ends = [];

// Runs a case and ends all that it has begun, the last first. What a page has complained about is a failure too.
export function cleanly(act) {
  return async () => {
    const failures = [];
    const attempt = (step) => Promise.resolve().then(step).catch((failure) => failures.push(failure));
    await attempt(act);
    for (const end of ends.splice(0).reverse()) await attempt(end);
    if (failures.length > 0) throw failures[0];
  };
}

// Gives a function that waits for a text in a later line of what a program prints, and gives what follows it there.
function reader(child) {
  const lines = new Queue('a line');
  const output = createInterface({ input: child.stdout });
  output.on('line', (line) => lines.push(line));
  output.on('close', () => lines.push(null));
  return async (text) => {
    for (;;) {
      const line = await lines.next();
      if (line === null) throw new Error(`the program has ended before it printed "${text}"`);
      if (line.includes(text)) return line.slice(line.indexOf(text) + text.length);
    }
  };
}

// The hub's program with these settings, and more in a file, on a free port unless it is told which.
export async function hub(settings = [], { port = 0, file = '' } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'control-page-'));
  ends.push(() => rm(folder, { recursive: true }));
  const config = join(folder, 'hub.toml');
  await writeFile(config, file);
  const environment = Object.entries(process.env).filter(([name]) => !name.startsWith('CROSSPOINT_'));
  const child = spawn(program, ['serve', '--config', config, '--listen', `127.0.0.1:${port}`, ...settings], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: Object.fromEntries(environment),
  });
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  ends.push(stop);
  const listening = Number(await reader(child)('listening on 127.0.0.1:'));
  return { port: listening, url: `http://127.0.0.1:${listening}`, stop, signal: (name) => child.kill(name) };
}

// `crosspoint chat` in a room. `heard(text)` waits for a line, `say(text)` says one.
export async function chat({ port }, room, name) {
  const child = spawn(program, ['chat', '--room', room, '--name', name, '--hub', `tcp://127.0.0.1:${port}`], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  ends.push(() => child.kill('SIGKILL'));
  const heard = reader(child);
  await heard('you are in');
  return { heard, say: (text) => child.stdin.write(`${text}\n`) };
}

// `socket.io-client`, in a room if one is named.
export async function socketio({ url }, clientId, room, transports = ['websocket']) {
  const socket = io(url, { query: { clientId }, transports, forceNew: true, reconnection: false });
  ends.push(() => socket.disconnect());
  await limited(once(socket, 'connect'), 'socket.io-client');
  if (room !== undefined) await new Promise((entered) => socket.emit('JOIN_ROOM', room, entered));
  return socket;
}

const HELLO = 0x01, WELCOME = 0x02, CREATE = 0x10, ENTER = 0x11, CREATED = 0x18, ENTERED = 0x19, PROVIDE = 0x24;
const DONE = 0x2b, PING = 0x04, PONG = 0x05;

function varint(value) {
  const bytes = [];
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}

const frame = (type, ...body) => [...varint(1 + body.length), type, ...body];
const counted = (bytes) => [...varint(bytes.length), ...bytes];
const key = (text) => [0xa0 | text.length, ...Buffer.from(text)];
const text = (value) => [0xda, value.length >> 8, value.length & 0xff, ...value];

// A client of the native protocol over TCP, written from docs/protocol.md. Names are texts or bytes.
export class Native {
  #rest = Buffer.alloc(0);
  #frames = [];
  #waiting = null;

  static async connect({ port }, name) {
    const client = new Native();
    client.socket = connect(port, '127.0.0.1');
    // The hub may end it at any time.
    client.socket.on('error', () => {});
    client.closed = new Promise((resolve) => client.socket.once('close', resolve));
    ends.push(() => client.socket.destroy());
    client.socket.on('data', (data) => client.#read(data));
    await once(client.socket, 'connect');
    const named = name === undefined ? [0x81] : [0x82, ...key('name'), ...text(Buffer.from(name))];
    client.#send(Buffer.from('XPT1'), frame(HELLO, ...named, ...key('v'), 1));
    await client.next(WELCOME);
    return client;
  }

  async create(name, password) {
    const secret = Buffer.from(password ?? '');
    const options = password === undefined ? [] : [0x81, ...key('password'), 0xc4, secret.length, ...secret];
    this.#send(frame(CREATE, 1, ...counted(Buffer.from(name)), ...options));
    await this.next(CREATED);
  }

  async enter(name) {
    this.#send(frame(ENTER, 1, ...counted(Buffer.from(name)), 0x81, ...key('room'), 0xc3));
    await this.next(ENTERED);
  }

  async provide(name) {
    this.#send(frame(PROVIDE, 1, 1, ...counted(Buffer.from(name))));
    await this.next(DONE);
  }

  // A message to all others in the first room that was entered.
  say(message) {
    this.#send(frame(0x30, 0, ...message));
  }

  // The body of the next frame of this type.
  next(type) {
    const body = this.#taken(type);
    if (body !== undefined) return Promise.resolve(body);
    const coming = new Promise((resolve) => {
      this.#waiting = { type, resolve };
    });
    return limited(coming, `a frame of type ${type}`);
  }

  #send(...parts) {
    this.socket.write(Buffer.concat(parts.map((part) => Buffer.from(part))));
  }

  #taken(type) {
    const at = this.#frames.findIndex((known) => known.type === type);
    return at < 0 ? undefined : this.#frames.splice(at, 1)[0].body;
  }

  #read(data) {
    this.#rest = Buffer.concat([this.#rest, data]);
    for (;;) {
      let length = 0, at = 0;
      do {
        if (at === this.#rest.length) return;
        length |= (this.#rest[at] & 0x7f) << (7 * at);
      } while (this.#rest[at++] & 0x80);
      if (this.#rest.length < at + length) return;
      const type = this.#rest[at], body = this.#rest.subarray(at + 1, at + length);
      this.#rest = this.#rest.subarray(at + length);
      if (type === PING) this.#send(frame(PONG, ...body));
      else this.#frames.push({ type, body });
      const found = this.#waiting && this.#taken(this.#waiting.type);
      if (found !== null && found !== undefined) {
        const { resolve } = this.#waiting;
        this.#waiting = null;
        resolve(found);
      }
    }
  }
}

// The tests may run as root, where Chromium has no sandbox. It sees the pages of the hub and nothing else.
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
});

// A page of this hub. What it says as an error, throws, or may not load by its policy is a failure, unless one of the
// `expected` texts is in it.
export async function open({ url }, hash = '', { width = 1280, height = 900, scheme = 'light', expected = [] } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme });
  const page = await context.newPage();
  const problems = [];
  const problem = (text) => {
    if (!expected.some((known) => text.includes(known))) problems.push(text);
  };
  page.on('pageerror', (error) => problem(error.stack));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') problem(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) problem(`a request to ${request.url()}`);
  });
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
      console.error(`against the policy: ${violatedDirective} ${blockedURI}`);
    });
  });
  ends.push(async () => {
    await context.close();
    assert.deepEqual(problems, []);
  });
  page.setDefaultTimeout(15_000);
  await page.goto(`${url}/${hash}`);
  return page;
}

// Waits until a function of the page, called with a value, gives something true.
export function until(page, condition, value) {
  return page.waitForFunction(condition, value);
}

// The texts of all elements that a selector finds.
export function texts(page, selector) {
  return page.locator(selector).allInnerTexts();
}

// The row of a list with this text.
export function row(page, text) {
  return page.locator('tbody tr', { hasText: text });
}

// The question that the page asks before it ends something.
export const question = 'dialog#question';

// Answers it.
export async function answer(page, button) {
  await page.locator(question).getByRole('button', { name: button, exact: true }).click();
  await page.locator(question).waitFor({ state: 'hidden' });
}

// Waits until the page tells what was done.
export function told(page, text) {
  return page.locator('#toasts', { hasText: text }).waitFor();
}
