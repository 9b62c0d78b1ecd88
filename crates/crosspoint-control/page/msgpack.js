// MessagePack, as far as the native protocol and messages in rooms use it. Pure. What is malformed throws.

const TEXT = new TextDecoder('utf-8', { fatal: true });
const DEPTH_MAX = 8;
// Bounds and marks of the forms of unsigned numbers.
const NUMBERS = [[0x80, null], [0x100, 0xcc], [0x10000, 0xcd], [2 ** 32, 0xce]];

// Writes a map whose keys are texts, and whose values are unsigned numbers, booleans, texts or bytes (`Uint8Array`).
// Entries whose value is undefined are left out.
export function encodeMap(map) {
  const entries = Object.entries(map).filter(([, value]) => value !== undefined);
  if (entries.length > 15) throw new RangeError('too many entries');
  const out = [0x80 | entries.length];
  for (const [key, value] of entries) {
    encode(out, key);
    encode(out, value);
  }
  return out;
}

function encode(out, value) {
  if (typeof value === 'boolean') out.push(value ? 0xc3 : 0xc2);
  else if (typeof value === 'number') sized(out, value, NUMBERS);
  else if (typeof value === 'string') {
    const text = new TextEncoder().encode(value);
    if (text.length < 32) out.push(0xa0 | text.length);
    else sized(out, text.length, [[0x100, 0xd9], [0x10000, 0xda]]);
    out.push(...text);
  } else {
    sized(out, value.length, [[0x100, 0xc4], [0x10000, 0xc5]]);
    out.push(...value);
  }
}

// A number behind the first mark whose bound is above it; without a mark as one byte.
function sized(out, value, forms) {
  const found = forms.find(([bound]) => value < bound);
  if (found === undefined) throw new RangeError('too large');
  const [bound, mark] = found;
  if (mark !== null) out.push(mark);
  for (let shift = Math.log2(Math.max(bound, 0x100)) - 8; shift >= 0; shift -= 8) {
    out.push(Math.floor(value / 2 ** shift) & 0xff);
  }
}

// Reads one value: maps as `Map`, integers as numbers (as `bigint` where they need it), bin as `Uint8Array`, extensions
// as undefined. Gives the value and where it ends.
export function decode(bytes, at = 0) {
  const reader = new Reader(bytes, at);
  const value = reader.value(0);
  return { value, end: reader.at };
}

class Reader {
  constructor(bytes, at) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = at;
  }

  value(depth) {
    if (depth > DEPTH_MAX) throw new RangeError('nested too deep');
    const mark = this.view.getUint8(this.at++);
    if (mark < 0x80) return mark;
    if (mark < 0x90) return this.map(mark & 0x0f, depth);
    if (mark < 0xa0) return this.array(mark & 0x0f, depth);
    if (mark < 0xc0) return this.text(mark & 0x1f);
    if (mark >= 0xe0) return mark - 0x100;
    switch (mark) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: case 0xc5: case 0xc6: return this.take(this.unsigned(mark - 0xc4));
      case 0xc7: case 0xc8: case 0xc9: return this.extension(this.unsigned(mark - 0xc7));
      case 0xca: return this.number('getFloat32', 4);
      case 0xcb: return this.number('getFloat64', 8);
      case 0xcc: case 0xcd: case 0xce: return this.unsigned(mark - 0xcc);
      case 0xcf: return this.number('getBigUint64', 8);
      case 0xd0: return this.number('getInt8', 1);
      case 0xd1: return this.number('getInt16', 2);
      case 0xd2: return this.number('getInt32', 4);
      case 0xd3: return this.number('getBigInt64', 8);
      case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: return this.extension(2 ** (mark - 0xd4));
      case 0xd9: case 0xda: case 0xdb: return this.text(this.unsigned(mark - 0xd9));
      case 0xdc: case 0xdd: return this.array(this.unsigned(mark - 0xdc + 1), depth);
      case 0xde: case 0xdf: return this.map(this.unsigned(mark - 0xde + 1), depth);
      default: throw new RangeError('no MessagePack');
    }
  }

  number(method, size) {
    const value = this.view[method](this.at);
    this.at += size;
    return value;
  }

  // An unsigned number of 2^power bytes.
  unsigned(power) {
    return this.number(['getUint8', 'getUint16', 'getUint32'][power], 2 ** power);
  }

  take(length) {
    if (length > this.bytes.length - this.at) throw new RangeError('ends too early');
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  text(length) {
    return TEXT.decode(this.take(length));
  }

  extension(length) {
    this.take(length + 1);
    return undefined;
  }

  // Each element takes a byte at least, so a count above what is there is found before anything is made of it.
  array(length, depth) {
    if (length > this.bytes.length - this.at) throw new RangeError('ends too early');
    return Array.from({ length }, () => this.value(depth + 1));
  }

  map(length, depth) {
    if (length > this.bytes.length - this.at) throw new RangeError('ends too early');
    return new Map(Array.from({ length }, () => [this.value(depth + 1), this.value(depth + 1)]));
  }
}
