// A client of the package `anysocket` whose events can be waited for.
import AnySocket from 'anysocket';
import { ACCEPTED, methods } from './anysocket_convention.mjs';
import { Queue, limited } from './cases.mjs';

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
