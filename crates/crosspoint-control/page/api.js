// Requests to the hub's API (docs/control.md).

const ROOT = '/api/v1/';
// A hub that takes longer does not answer.
const PATIENCE_MS = 8000;

// An answer that is an error, or none: then `status` is 0.
export class Failed extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function get(path) {
  return ask('GET', path);
}

export function remove(path) {
  return ask('DELETE', path);
}

export function post(path, body) {
  return ask('POST', path, body);
}

// The path of a channel. Its key stands in paths as it is.
export function channelPath(key) {
  return `channels/${key}`;
}

async function ask(method, path, body) {
  const headers = { accept: 'application/json' };
  // What another site makes a browser send cannot have this header.
  if (method !== 'GET') headers['Crosspoint-Control'] = '1';
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let answer, text;
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    answer = await fetch(ROOT + path, { method, headers, body: body && JSON.stringify(body), signal });
    text = await answer.text();
  } catch {
    throw new Failed(0, 'The hub does not answer.');
  }
  if (!answer.ok) throw failed(answer.status, text);
  return text === '' ? undefined : JSON.parse(text);
}

// The event stream with this query. The caller reads its body.
export async function stream(query, signal) {
  const answer = await fetch(`${ROOT}events?${query}`, { headers: { accept: 'text/event-stream' }, signal });
  if (!answer.ok) throw failed(answer.status, await answer.text());
  return answer.body;
}

function failed(status, text) {
  let message;
  try {
    message = JSON.parse(text).message;
  } catch {
    // Not the hub's own words: a proxy may have answered.
  }
  return new Failed(status, message ?? `The answer was ${status}.`);
}
