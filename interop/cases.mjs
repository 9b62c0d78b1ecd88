// Runs named cases, whose waiting is bounded.

// What takes longer has failed, unless another limit is given.
const LIMIT_MS = 30_000;

// Runs the named cases, or all of `cases` if none is named, and ends the program: with 0 if all went
// well. `more` can only be named. `after` is called after each case, which has failed if it takes longer than `limit`.
export async function run(names, cases, more, after, limit = LIMIT_MS) {
  const known = { ...cases, ...more };
  let failed = false;
  for (const name of names.length > 0 ? names : Object.keys(cases)) {
    try {
      if (!known[name]) throw new Error(`no such case; there are ${Object.keys(known).join(' ')}`);
      await limited(known[name](), 'the case', limit);
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
export function limited(promise, what, limit = LIMIT_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${limit} ms`)), limit);
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
