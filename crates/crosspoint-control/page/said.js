// What a message of a room says. The bytes tell whether a client of Socket.IO has said an event (docs/socketio.md,
// section 1). Pure.
import { decode } from './msgpack.js';

const TEXT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const RESERVED = new Set(['connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener']);
const ELEMENTS_MAX = 1024;
const ATTACHMENTS_MAX = 10;
const PREVIEW_BYTES = 64;

// Gives `{ text }`, `{ event, values, attachments }` with each value as the JSON text that came and the lengths of the
// attachments, or `{ bytes, start }` with the length and the beginning in hexadecimal.
export function said(bytes) {
  const text = utf8(bytes);
  const found = text === null ? withAttachments(bytes) : event(text, []);
  if (found !== null) return found;
  return text === null ? { bytes: bytes.length, start: hexadecimal(bytes) } : { text };
}

function event(text, attachments) {
  if (!text.startsWith('["')) return null;
  let elements;
  try {
    elements = JSON.parse(text);
  } catch {
    return null;
  }
  const [name, ...values] = elements;
  if (RESERVED.has(name) || elements.length > ELEMENTS_MAX) return null;
  // The event `message` with one text is how clients of Socket.IO talk to all others.
  if (name === 'message' && values.length === 1 && typeof values[0] === 'string') return { text: values[0] };
  return { event: name, values: written(text).slice(1), attachments: attachments.map(({ length }) => length) };
}

// The elements of a JSON array as they are written. Numbers would change if they were written anew.
function written(array) {
  const found = [];
  let depth = 0, start = 1;
  for (const { 0: mark, index } of array.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{},]/gu)) {
    if (mark === '[' || mark === '{') depth += 1;
    if (mark === ']' || mark === '}') depth -= 1;
    if (depth === 0 || (depth === 1 && mark === ',')) {
      found.push(array.slice(start, index).trim());
      start = index + 1;
    }
  }
  return found;
}

function withAttachments(bytes) {
  if (bytes.length === 0 || (bytes[0] & 0xf0) !== 0x90) return null;
  let elements;
  try {
    const { value, end } = decode(bytes);
    if (end !== bytes.length) return null;
    elements = value;
  } catch {
    return null;
  }
  const [text, ...attachments] = elements;
  const fits = attachments.length > 0 && attachments.length <= ATTACHMENTS_MAX;
  if (typeof text !== 'string' || !fits || !attachments.every((part) => part instanceof Uint8Array)) return null;
  return event(text, attachments);
}

function utf8(bytes) {
  try {
    return TEXT.decode(bytes);
  } catch {
    return null;
  }
}

function hexadecimal(bytes) {
  const start = Array.from(bytes.subarray(0, PREVIEW_BYTES), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return bytes.length > PREVIEW_BYTES ? `${start} …` : start;
}
