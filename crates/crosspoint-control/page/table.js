// Tables whose rows change in place.
import { Keyed, icon, make, setAttribute, setHidden, setText } from './dom.js';

// A column is `{ title, class, hint, sort, first, cell }`. `sort` is what the hub calls the order by this column, and
// `first` its first direction. `cell(td)` is called once for each row, and gives the function that shows an item there.
export class Table {
  #columns;
  #key;
  #rows;
  #heads;
  #body;
  #empty;
  #held = new Set();
  #restless = false;

  // `onSort(sort, order)` is called when a title is pressed; `open(item)` gives the address that a row leads to.
  constructor({ label, columns, key, onSort = null, open = null }) {
    this.#columns = columns;
    this.#key = key;
    this.#heads = columns.map((column) => head(column, onSort));
    this.#body = make('tbody', {
      pointerenter: () => this.#hold('pointer', true),
      pointerleave: () => this.#hold('pointer', false),
      focusin: () => this.#hold('focus', true),
      focusout: () => this.#hold('focus', false),
    });
    this.#rows = new Keyed(this.#body, () => this.#row(open));
    this.#empty = make('div', { class: 'empty', hidden: true });
    const table = make('table', { 'aria-label': label },
      make('thead', {}, make('tr', {}, ...this.#heads.map(({ element }) => element))), this.#body);
    this.element = make('div', { class: 'table' }, table, this.#empty);
  }

  // Marks the column by which the rows are ordered. Rows of a restless order keep their places while they
  // are pointed at, so that nobody presses what has just moved there.
  sorted(sort, order, restless = false) {
    this.#restless = restless;
    for (const { mark } of this.#heads) mark(sort, order);
  }

  show(items) {
    if (this.#held.size > 0 && this.#restless) {
      this.#rows.refresh(items, this.#key);
      return;
    }
    const focused = this.#body.contains(document.activeElement);
    this.#rows.show(items, this.#key);
    setHidden(this.#empty, items.length > 0);
    // The focus was in a row that is gone. The keyboard goes on from the title of the view.
    if (focused && document.activeElement === document.body) this.element.closest('.view').querySelector('h1').focus();
  }

  // What is shown in place of rows: a sentence, and what to do about it.
  whenEmpty(...children) {
    this.#empty.replaceChildren(...children);
  }

  // Lets the next rows take their places, whatever is pointed at.
  release() {
    this.#held.clear();
  }

  #hold(by, held) {
    if (held) this.#held.add(by);
    else this.#held.delete(by);
  }

  #row(open) {
    let item = null;
    const cells = this.#columns.map((column) => {
      const element = make('td', { class: column.class ?? null });
      return { element, update: column.cell(element) };
    });
    const element = make('tr', {}, ...cells.map((cell) => cell.element));
    if (open !== null) {
      element.classList.add('opens');
      element.addEventListener('click', (event) => {
        // Text may be selected in a row, and links and buttons in it have effects of their own.
        if (event.target.closest('a, button') || getSelection().toString() !== '') return;
        location.hash = open(item);
      });
    }
    return {
      element,
      update(next) {
        item = next;
        for (const cell of cells) cell.update(next);
      },
    };
  }
}

function head({ title, class: kind = null, hint = null, sort, first = 'asc' }, onSort) {
  const element = make('th', { scope: 'col', class: kind, title: hint });
  if (sort === undefined || onSort === null) {
    element.append(make('span', { class: title === '' ? 'hidden-text' : null, text: title || 'Actions' }));
    return { element, mark() {} };
  }
  let next = first;
  element.append(make('button', { type: 'button', click: () => onSort(sort, next) }, title, icon('order')));
  const mark = (by, order) => {
    const here = by === sort;
    setAttribute(element, 'aria-sort', here ? { asc: 'ascending', desc: 'descending' }[order] : null);
    next = here ? { asc: 'desc', desc: 'asc' }[order] : first;
  };
  return { element, mark };
}

// A cell that shows a text of the item; `faint(item)` says whether it says nothing of interest.
export function textCell(text, faint = () => false) {
  return (element) => (item) => {
    setText(element, text(item));
    element.classList.toggle('faint', faint(item));
  };
}
