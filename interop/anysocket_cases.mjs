// Runs named cases, and a client of the package `anysocket` whose events can be waited for.
import AnySocket from 'anysocket';
import { ACCEPTED, methods } from './anysocket_convention.mjs';

// A case that takes longer has failed.
const LIMIT_MS = 30_000;

// Runs the named cases, or all of `cases` if none is named, and ends the program: with 0 if all went
// well. `more` can only be named. `after` is called after each case.
export async function run(names, cases, more, after) {
  const known = { ...cases, ...more };
  let failed = false;
  for (const name of names.length > 0 ? names : Object.keys(cases)) {
    try {
      if (!known[name]) throw new Error(`no such case; there are ${Object.keys(known).join(' ')}`);
      await limited(known[name](), 'the case');
      console.log(`ok ${name}`);
    } catch (error) {
      failed = true;
      console.log(`FAIL ${name} ${String(error?.message ?? error).replaceAll(/\s+/g, ' ').slice(0, 200)}`);
      console.error(error);
    }
    await after();
  }
  process.exit(failed ? 1 : 0);
}

// Fails if the promise takes too long.
export function limited(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${LIMIT_MS} ms`)), LIMIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Values that arrive one after the other and are waited for one after the other.
export class Queue {
  #arrived = [];
  #waiting = [];

  constructor(what) {
    this.what = what;
  }

  push(value) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(value);
    else this.#arrived.push(value);
  }

  next() {
    if (this.#arrived.length > 0) return Promise.resolve(this.#arrived.shift());
    return limited(new Promise((resolve) => this.#waiting.push(resolve)), `waiting for ${this.what}`);
  }

  get empty() {
    return this.#arrived.length === 0;
  }
}

// A program with one connection to a hub.
export class Client {
  static #open = new Set();

  connected = new Queue('a peer');
  messages = new Queue('a message');
  switched = new Queue('the switch to encryption');
  lost = new Queue('the loss of a peer');

  // `auth: undefined` says nothing; without `auth`, what a server accepts is said.
  constructor({ id, accepts = () => true, ...options } = {}) {
    const auth = 'auth' in options ? options.auth : ACCEPTED;
    this.socket = new AnySocket();
    if (id) this.socket.id = id;
    this.socket.authPacket = () => auth;
    this.socket.onAuth = accepts;
    this.socket.setRPC(methods);
    this.socket.on('connected', (peer) => this.connected.push(peer));
    this.socket.on('message', (packet) => this.messages.push(packet));
    this.socket.on('e2e', (peer) => this.switched.push(peer));
    this.socket.on('disconnected', (peer, reason) => this.lost.push({ peer, reason }));
    Client.#open.add(this);
  }

  static async connect(host, port, options = {}) {
    const client = new Client(options);
    await client.connect(host, port, options.timing);
    return client;
  }

  async connect(host, port, timing) {
    this.hub = await limited(this.socket.connect('ws', host, port, timing), 'connecting');
    const peer = await this.connected.next();
    if (peer !== this.hub) throw new Error('another peer than the hub is connected');
  }

  get id() {
    return this.socket.id;
  }

  // What the hub answers to a value.
  async ask(value) {
    return (await this.hub.send(value, true)).msg;
  }

  // Waits until that peer is encrypted. Others may be before.
  async encrypted(peer) {
    while ((await this.switched.next()) !== peer);
  }

  // The peer of that id, through the hub.
  async proxy(id) {
    const peer = await limited(this.socket.proxy(id, this.hub.id), 'proxying');
    if ((await this.connected.next()) !== peer) throw new Error('another peer than the proxied one is connected');
    return peer;
  }

  static async stopAll() {
    for (const client of Client.#open) await client.socket.stop();
    Client.#open.clear();
  }
}
