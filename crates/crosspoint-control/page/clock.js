// The clock of the hub, as far as this machine knows it, and times that go on by themselves.
import { make, setText } from './dom.js';
import { clock, duration } from './format.js';

let ahead = 0;

// The hub has just said what time it has.
export function heard(now) {
  ahead = now - Date.now();
}

// The time of the hub, in milliseconds.
export function now() {
  return Date.now() + ahead;
}

// An element that says how long ago a time of the hub is, and when that was by the clock of this machine.
export class Since {
  #at;

  constructor(suffix = '') {
    this.element = make('time', { class: 'since', 'data-suffix': suffix });
  }

  set(at) {
    if (this.#at !== at) {
      this.#at = at;
      this.element.dataset.at = at;
      this.element.dateTime = new Date(at).toISOString();
      this.element.title = clock(at - ahead);
    }
    tell(this.element);
  }
}

// Lets all times in an element go on.
export function tick(root) {
  for (const element of root.querySelectorAll('.since[data-at]')) tell(element);
}

function tell(element) {
  setText(element, `${duration(now() - Number(element.dataset.at))}${element.dataset.suffix}`);
}
