// The stream of events from the hub. It goes on by itself after it was lost, and says in which state it is.
import { Failed, stream } from './api.js';
import { Events } from './events.js';

// Points come each second. A stream that is silent for longer is lost, whatever the network says.
const SILENCE_MS = 6000;
const RETRY_MS = [500, 1000, 2000, 4000, 8000];
// The hub has a place for a stream until it notices that nobody reads it, so wishes that follow each other fast are one.
const PACE_MS = 300;

// States: `connecting`, `live`, `lost` (with the time of the next try and why), `paused`.
export class Live {
  #handlers;
  #query = null;
  #state = 'paused';
  #wanted = false;
  #controller = null;
  #timer = 0;
  #pace = 0;
  #begun = -Infinity;
  #tries = 0;

  // `handlers` are `event(name, data)` and `state(state, { retryAt, error })`. An error has the status of the answer.
  constructor(handlers) {
    this.#handlers = handlers;
  }

  // Asks for other things from now on, or for the same at once (`anew`).
  watch(query, anew = false) {
    if (query === this.#query && !anew) return;
    this.#query = query;
    if (!this.#wanted) return;
    // What comes of the former wish is wrong from now on.
    this.#end();
    const wait = this.#begun + PACE_MS - performance.now();
    if (wait <= 0) this.#connect();
    else this.#pace = setTimeout(() => this.#connect(), wait);
  }

  start() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#tries = 0;
    this.#connect();
  }

  stop() {
    this.#wanted = false;
    this.#end();
    this.#become('paused');
  }

  // Tries at once what would be tried later.
  hurry() {
    if (this.#state !== 'lost') return;
    this.#tries = 0;
    this.#connect();
  }

  #end() {
    clearTimeout(this.#timer);
    clearTimeout(this.#pace);
    this.#controller?.abort();
    this.#controller = null;
  }

  #become(state, detail = {}) {
    this.#state = state;
    this.#handlers.state(state, detail);
  }

  async #connect() {
    this.#end();
    this.#begun = performance.now();
    const controller = new AbortController();
    this.#controller = controller;
    if (this.#state !== 'live' && this.#state !== 'lost') this.#become('connecting');
    try {
      await this.#read(controller);
      throw new Failed(0, 'The hub has ended the connection.');
    } catch (error) {
      // Another connection has taken over, or none is wanted.
      if (this.#controller !== controller) return;
      this.#end();
      this.#failed(error);
    }
  }

  async #read(controller) {
    const watch = () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => controller.abort(), SILENCE_MS);
    };
    watch();
    const body = await stream(this.#query, controller.signal);
    const events = new Events();
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done || this.#controller !== controller) return;
      watch();
      for (const { name, data } of events.read(value)) {
        this.#tries = 0;
        if (this.#state !== 'live') this.#become('live');
        this.#handlers.event(name, JSON.parse(data));
        if (this.#controller !== controller) return;
      }
    }
  }

  #failed(error) {
    const wait = RETRY_MS[Math.min(this.#tries, RETRY_MS.length - 1)] * (0.8 + 0.4 * Math.random());
    this.#tries += 1;
    this.#timer = setTimeout(() => this.#connect(), wait);
    this.#become('lost', { retryAt: Date.now() + wait, error: error instanceof Failed ? error : null });
  }
}
