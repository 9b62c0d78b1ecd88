// A client of the native protocol over WebSocket (docs/protocol.md): it enters one channel or room, talks and listens.
import { decode, encodeMap } from './msgpack.js';
import * as wire from './native_frames.js';

export const REASON = {
  Malformed: 10,
  ConnectionLost: 1,
  NoSuchName: 7,
  NameTaken: 8,
  WrongPassword: 11,
  NotAllowed: 15,
  HeartbeatLost: 23,
  VersionUnsupported: 21,
  Declined: 34,
};

// Why a hello or an entry was refused, or a session has ended: a number of docs/protocol.md, section 9.
export class Ended extends Error {
  constructor(reason, text) {
    super(text);
    this.reason = reason;
  }
}

const HEARTBEAT_MS = 15_000;
const ANSWER_MS = 15_000;
const ENTRY = 1;
const CHUNK_MAX = 32_768;

// A session in one channel. `handlers` are `entered({ member, room, max })` with the own number, whether it is a room, and
// the largest message in bytes; `refused(Ended)` instead of that; then `message({ member, kind, total, data })` with
// member null for the owner, `came(member, peer)`, `went(member)`, `owner({ away, peer })`; and `ended(Ended)`, once and
// last of all.
export class Membership {
  #socket;
  #frames = new wire.Frames();
  #messages = new wire.Messages();
  #channel;
  #options;
  #handlers;
  #welcome = null;
  #entered = null;
  #over = false;
  #late = 0;
  #probing = 0;
  #heard = 0;
  #unanswered = 0;

  // `channel` is the name as bytes. `options` are `name`, `token`, `password` (texts, may be empty) and `create`, which
  // makes a room if nothing has the name.
  constructor(url, channel, options, handlers) {
    this.#channel = channel;
    this.#options = options;
    this.#handlers = handlers;
    this.#late = setTimeout(() => this.#end(new Ended(REASON.HeartbeatLost, 'the hub does not answer')), ANSWER_MS);
    this.#socket = new WebSocket(url);
    this.#socket.binaryType = 'arraybuffer';
    this.#socket.onopen = () => this.#hello();
    this.#socket.onmessage = ({ data }) => this.#read(data);
    this.#socket.onclose = () => this.#end(new Ended(REASON.ConnectionLost, 'the connection was lost'));
  }

  say(message) {
    const { number, frameMax } = this.#entered;
    for (const frame of wire.sending(number, message, frameMax)) this.#socket.send(frame);
  }

  // Leaves on purpose. No handler is called any more.
  leave() {
    if (this.#over) return;
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(wire.frame(wire.CLOSE, [0]));
    this.#stop();
  }

  #stop() {
    this.#over = true;
    clearTimeout(this.#late);
    clearInterval(this.#probing);
    this.#socket.close();
  }

  #end(ended) {
    if (this.#over) return;
    this.#stop();
    if (this.#entered === null) this.#handlers.refused(ended);
    else this.#handlers.ended(ended);
  }

  #hello() {
    const { name, token } = this.#options;
    const map = { v: 1, agent: 'crosspoint-control', name: name || undefined, token: token ? utf8(token) : undefined };
    this.#socket.send(wire.joined([wire.MAGIC, wire.frame(wire.HELLO, encodeMap(map))]));
  }

  #read(data) {
    this.#heard = performance.now();
    this.#unanswered = 0;
    try {
      for (const { type, body } of this.#frames.read(new Uint8Array(data))) {
        if (this.#over) return;
        this.#take(type, body);
      }
    } catch (error) {
      if (!(error instanceof wire.Malformed || error instanceof RangeError || error instanceof TypeError)) throw error;
      this.#socket.send(wire.frame(wire.CLOSE, [REASON.Malformed]));
      this.#end(new Ended(REASON.Malformed, `the hub has said what this page does not understand: ${error.message}`));
    }
  }

  #take(type, body) {
    const fields = new wire.Fields(body);
    switch (type) {
      case wire.WELCOME: return this.#welcomed(map(fields));
      case wire.CLOSE: return this.#end(new Ended(fields.varint(), text(fields)));
      case wire.PING: return this.#socket.send(wire.frame(wire.PONG, body));
      case wire.ENTERED: return this.#enteredAs(fields);
      case wire.REFUSED: return this.#refused(fields);
      // This page is no peer to others.
      case wire.LINKED: return this.#decline(fields.varint());
      default: return this.#inside(type, fields);
    }
  }

  #decline(link) {
    this.#socket.send(wire.frame(wire.UNLINK, wire.varint(link), [REASON.Declined]));
  }

  // What is about the channel that was entered, and what needs no answer.
  #inside(type, fields) {
    if (!wire.IN_CHANNEL.has(type) || fields.varint() !== this.#entered?.number) return;
    switch (type & ~wire.EXTENDED) {
      case wire.ENDED: return this.#end(new Ended(fields.varint(), ''));
      case wire.OWNER: return this.#owner(fields);
      case wire.OTHER_ENTERED: return this.#handlers.came(fields.varint(), peer(map(fields)));
      case wire.OTHER_LEFT: return this.#left(fields.varint());
      case wire.FROM_OWNER: return this.#message(null, type, fields);
      default: return this.#message(fields.varint(), type, fields);
    }
  }

  #welcomed(welcome) {
    if (welcome.get('v') !== 1) throw new wire.Malformed('another version');
    this.#welcome = welcome;
    const { password, create } = this.#options;
    const map = { password: password ? utf8(password) : undefined, room: create, presence: true };
    const name = [wire.varint(this.#channel.length), this.#channel];
    this.#socket.send(wire.frame(wire.ENTER, wire.varint(ENTRY), ...name, encodeMap(map)));
    const silence = welcome.get('heartbeat_ms') || HEARTBEAT_MS;
    this.#probing = setInterval(() => this.#probe(silence), silence / 2);
  }

  // Timers of pages that are not seen are late, so what counts is that probes stay unanswered.
  #probe(silence) {
    if (performance.now() - this.#heard < silence) return;
    if (this.#unanswered >= 4) {
      this.#end(new Ended(REASON.HeartbeatLost, 'the hub does not answer'));
      return;
    }
    this.#unanswered += 1;
    this.#socket.send(wire.frame(wire.PING, new Uint8Array(8)));
  }

  #enteredAs(fields) {
    fields.varint();
    const number = fields.varint(), member = fields.varint(), about = map(fields);
    const most = this.#welcome.get('message_max');
    const max = about.get('raw') === true ? most : Math.min(about.get('max') ?? CHUNK_MAX, most);
    this.#entered = { number, frameMax: this.#welcome.get('frame_max') };
    clearTimeout(this.#late);
    this.#handlers.entered({ member, room: about.get('room') === true, max });
  }

  #refused(fields) {
    fields.varint();
    fields.byte();
    this.#end(new Ended(fields.varint(), text(fields)));
  }

  #owner(fields) {
    const what = fields.byte();
    if (what === 0 || what === 1) this.#handlers.owner({ away: what === 1, peer: null });
    else if (what === 2) {
      this.#messages.forget();
      this.#handlers.owner({ away: false, peer: peer(map(fields)) });
    }
  }

  #left(member) {
    this.#messages.forget(member);
    this.#handlers.went(member);
  }

  #message(member, type, fields) {
    const message = this.#messages.read(member, (type & wire.EXTENDED) !== 0, fields);
    if (message !== null) this.#handlers.message({ member, ...message });
  }
}

function utf8(text) {
  return new TextEncoder().encode(text);
}

function text(fields) {
  return new TextDecoder().decode(fields.rest());
}

function map(fields) {
  if (fields.rest().length === 0) return new Map();
  const { value } = decode(fields.bytes, fields.at);
  if (!(value instanceof Map)) throw new wire.Malformed('a map is something else');
  return value;
}

function peer(about) {
  const id = Array.from(about.get('id') ?? [], (byte) => byte.toString(16).padStart(2, '0')).join('');
  return { id, name: about.get('name') ?? null, protocol: about.get('protocol') ?? '' };
}
