// The part of a long list that is shown, and the ways to the others.
import { icon, make, setText } from './dom.js';
import { count } from './format.js';

const SIZES = [25, 50, 100, 250];

export class Pager {
  #range = make('span', { class: 'range' });
  #buttons;
  #sizes;
  #state = { offset: 0, limit: 50, matched: 0 };

  // `onChange({ offset, limit })` is called for another part.
  constructor(onChange) {
    const turn = (name, label, offset) => make('button', {
      type: 'button',
      class: 'plain square',
      'aria-label': label,
      title: label,
      click: () => onChange({ offset: offset(this.#state), limit: this.#state.limit }),
    }, icon(name));
    const last = ({ limit, matched }) => Math.max(0, Math.floor((matched - 1) / limit) * limit);
    this.#buttons = {
      first: turn('first', 'First page', () => 0),
      before: turn('before', 'Page before', ({ offset, limit }) => Math.max(0, offset - limit)),
      next: turn('next', 'Next page', ({ offset, limit }) => offset + limit),
      last: turn('last', 'Last page', last),
    };
    this.#sizes = make('select', {
      'aria-label': 'Rows on a page',
      change: () => {
        const limit = Number(this.#sizes.value);
        onChange({ offset: Math.floor(this.#state.offset / limit) * limit, limit });
      },
    }, ...SIZES.map((size) => make('option', { value: size, text: `${size} rows` })));
    const { first, before, next, last: end } = this.#buttons;
    this.element = make('nav', { class: 'pager', 'aria-label': 'Pages', hidden: true },
      this.#sizes, this.#range, make('div', { class: 'turns' }, first, before, next, end));
  }

  show({ offset, limit, matched, shown }) {
    this.#state = { offset, limit, matched };
    this.element.hidden = matched <= SIZES[0];
    this.#sizes.value = String(limit);
    setText(this.#range, shown === 0 ? '' : `${count(offset + 1)}–${count(offset + shown)} of ${count(matched)}`);
    const [start, end] = [offset === 0, offset + limit >= matched];
    this.#buttons.first.disabled = start;
    this.#buttons.before.disabled = start;
    this.#buttons.next.disabled = end;
    this.#buttons.last.disabled = end;
  }
}

// The size of a page that an address asks for.
export function size(text) {
  const wanted = Number(text);
  return SIZES.includes(wanted) ? wanted : 50;
}
