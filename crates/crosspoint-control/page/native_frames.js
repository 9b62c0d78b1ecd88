// Frames of the native protocol (docs/protocol.md, section 2) and the messages in them. Pure. What violates the
// protocol throws `Malformed`.

export class Malformed extends Error {}

export const HELLO = 0x01, WELCOME = 0x02, CLOSE = 0x03, PING = 0x04, PONG = 0x05, ENTER = 0x11, ENTERED = 0x19;
export const REFUSED = 0x1a, ENDED = 0x1d, OWNER = 0x1f, OTHER_ENTERED = 0x20, OTHER_LEFT = 0x21, UNLINK = 0x23;
export const LINKED = 0x28, SEND = 0x30, FROM_OWNER = 0x33, FROM_ROOM = 0x35;
export const EXTENDED = 0x40;
// Those that begin with the in number of a channel.
export const IN_CHANNEL = new Set(
  [ENDED, OWNER, OTHER_ENTERED, OTHER_LEFT, FROM_OWNER, FROM_ROOM, FROM_OWNER | EXTENDED, FROM_ROOM | EXTENDED],
);
export const MAGIC = new TextEncoder().encode('XPT1');

// The hub sends no longer ones.
const LENGTH_MAX = 65_536;
// What is kept of a message. The rest is counted only.
export const KEPT_MAX = 65_536;

export function varint(value) {
  const bytes = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return [...bytes, rest];
}

// A frame whose body consists of these arrays of bytes.
export function frame(type, ...parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 1);
  const head = [...varint(length), type];
  const bytes = new Uint8Array(head.length + length - 1);
  bytes.set(head);
  let at = head.length;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

// Reads the fields of a body, one after the other.
export class Fields {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  byte() {
    if (this.at >= this.bytes.length) throw new Malformed('a frame ends too early');
    return this.bytes[this.at++];
  }

  varint() {
    let value = 0;
    for (let place = 0; place < 5; place += 1) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** (7 * place);
      if (byte < 0x80) {
        if (value >= 2 ** 32) break;
        return value;
      }
    }
    throw new Malformed('a number is too large');
  }

  rest() {
    return this.bytes.subarray(this.at);
  }
}

// Cuts a stream of bytes into frames.
export class Frames {
  #rest = new Uint8Array(0);

  // The frames that these bytes complete, as `{ type, body }`.
  read(bytes) {
    const all = joined([this.#rest, bytes]);
    const frames = [];
    let at = 0;
    for (;;) {
      const head = length(all, at);
      if (head === null || head.end + head.length > all.length) break;
      const { length: size, end } = head;
      frames.push({ type: all[end], body: all.subarray(end + 1, end + size) });
      at = end + size;
    }
    this.#rest = all.slice(at);
    return frames;
  }
}

// The length of the frame that begins here, and where that ends; null if more bytes are needed.
function length(all, at) {
  const head = all.subarray(at, at + 5);
  if (head.length < 5 && head.every((byte) => byte >= 0x80)) return null;
  const fields = new Fields(head);
  const value = fields.varint();
  if (value === 0 || value > LENGTH_MAX) throw new Malformed(`a frame has ${value} bytes`);
  return { length: value, end: at + fields.at };
}

export function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

// Joins the parts of messages (section 6.3). Of a large message only the beginning is kept.
export class Messages {
  #begun = new Map();

  // A data frame at a place, whose numbers are read already. Gives the message that is whole now, if any, as
  // `{ kind, total, data }`.
  read(place, extended, fields) {
    if (!extended) {
      this.#begun.delete(place);
      const data = fields.rest();
      return { kind: 0, total: data.length, data: data.slice(0, KEPT_MAX) };
    }
    const kind = fields.byte(), total = fields.varint(), offset = fields.varint(), payload = fields.rest();
    const last = offset + payload.length;
    if (last > total || (payload.length === 0 && total > 0)) throw new Malformed('a part does not fit');
    const before = offset === 0 ? { kind, total, have: 0, parts: [] } : this.#begun.get(place);
    // The beginning went to another one.
    if (before === undefined) return null;
    const follows = before.have === offset && before.total === total && before.kind === kind;
    if (!follows) throw new Malformed('parts do not follow');
    const room = Math.max(0, KEPT_MAX - offset);
    const message = { ...before, have: last, parts: [...before.parts, payload.slice(0, room)] };
    if (last < total) {
      this.#begun.set(place, message);
      return null;
    }
    this.#begun.delete(place);
    return { kind, total, data: joined(message.parts) };
  }

  // Forgets what has begun at a place, or at all.
  forget(place) {
    if (place === undefined) this.#begun.clear();
    else this.#begun.delete(place);
  }
}

// The frames that say a message in the channel with this number. Long messages are cut into parts.
export function sending(number, message, frameMax) {
  const room = Math.min(frameMax, LENGTH_MAX) - 32;
  if (message.length <= room) return [frame(SEND, varint(number), message)];
  const frames = [];
  for (let at = 0; at < message.length; at += Math.min(room, 16_384)) {
    const part = message.subarray(at, at + Math.min(room, 16_384));
    frames.push(frame(SEND | EXTENDED, varint(number), [0], varint(message.length), varint(at), part));
  }
  return frames;
}
