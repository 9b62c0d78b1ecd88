// A view that is one long list: a search, filters, a table and pages. What is chosen is in the address. The hub
// searches, sorts and cuts into pages.
import { make, icon, setHidden, setText } from './dom.js';
import { count } from './format.js';
import { Pager, size } from './pager.js';
import { address, go } from './route.js';
import { Table } from './table.js';

const TYPING_MS = 250;

export class List {
  #page;
  #about;
  #chosen;
  #parts;
  #typing = 0;
  #news = false;

  // What a list is about (`about`):
  // * `name` of the view, of its event and of the list in that; `title`; `one` and `many` to count with;
  // * `search`, the label of the search field;
  // * `filters`, each `{ name, label, all, options() }` with options `{ value, text }`, or
  //   `{ name, label, chip(value) }` for what is chosen elsewhere and can be taken away here;
  // * `sort` and `order` by default, `restless`, the orders whose rows move by themselves;
  // * `columns`, `key`, `open` of the table; `none`, `{ text, hint }` for an empty list; `paged`, `limit`;
  // * `actions`, elements beside the title.
  constructor(page, about, query) {
    this.#page = page;
    this.#about = { filters: [], restless: [], actions: [], paged: true, ...about };
    this.#choose(query);
    this.#parts = this.#build();
    this.element = this.#parts.element;
    this.#reflect();
  }

  get title() {
    return this.#about.title;
  }

  get table() {
    return this.#parts.table;
  }

  // What the stream is to send.
  watch() {
    const { name, paged } = this.#about;
    const { offset, limit, ...rest } = this.#chosen;
    const asked = Object.entries(paged ? this.#chosen : { ...rest, limit });
    return { views: [name], query: Object.fromEntries(asked.map(([key, value]) => [`${name}.${key}`, value])) };
  }

  // Another address of the same view.
  update(query) {
    const searched = this.#chosen.search;
    this.#choose(query);
    if (this.#chosen.search !== searched) this.#news = true;
    this.#reflect();
  }

  show(event, data) {
    if (event === 'hub') this.#options();
    if (event !== this.#about.name) return;
    const items = data[this.#about.name];
    const matched = data.matched ?? items.length;
    if (items.length === 0 && matched > 0 && this.#chosen.offset > 0) {
      this.#go({ offset: Math.max(0, Math.floor((matched - 1) / this.#chosen.limit) * this.#chosen.limit) }, true);
      return;
    }
    this.#parts.element.removeAttribute('aria-busy');
    this.#parts.table.show(items);
    this.#count(matched, data.total ?? matched);
    this.#parts.pager.show({ ...this.#chosen, matched, shown: items.length });
  }

  leave() {
    clearTimeout(this.#typing);
  }

  // Puts the cursor into the search field.
  find() {
    this.#parts.search.focus();
    this.#parts.search.select();
  }

  #choose(query) {
    const { sort, order, filters } = this.#about;
    this.#chosen = {
      search: query.get('search') ?? '',
      ...Object.fromEntries(filters.map(({ name }) => [name, query.get(name) ?? ''])),
      ...(sort && { sort: query.get('sort') ?? sort, order: query.get('order') === null ? order : query.get('order') }),
      offset: Math.max(0, Math.floor(Number(query.get('offset'))) || 0),
      limit: this.#about.limit ?? size(query.get('limit')),
    };
  }

  // The address with changes. What is as by default is left out.
  #go(changes, replace = false) {
    const { name, sort, order, limit } = this.#about;
    const next = { ...this.#chosen, offset: 0, ...changes };
    if (next.sort === sort && next.order === order) next.sort = next.order = '';
    if (next.offset === 0) next.offset = '';
    if (next.limit === (limit ?? 50)) next.limit = '';
    this.#parts.table.release();
    go(address(name, null, next), replace);
  }

  #build() {
    const { title, search: label, filters, columns, key, open, sort } = this.#about;
    const search = make('input', {
      type: 'search',
      'aria-label': label,
      placeholder: label,
      autocomplete: 'off',
      spellcheck: 'false',
      // The hub takes 256 bytes.
      maxlength: '85',
      input: () => {
        clearTimeout(this.#typing);
        this.#typing = setTimeout(() => this.#go({ search: search.value.trim() }, true), TYPING_MS);
      },
    });
    const selects = filters.map((filter) => ({
      filter,
      element: make('select', {
        'aria-label': filter.label,
        change: ({ target }) => this.#go({ [filter.name]: target.value }),
      }),
    }));
    const table = new Table({ label: title, columns, key, open, onSort: (by, order) => this.#go({ sort: by, order }) });
    // Where columns are hidden, their titles cannot be pressed.
    const orders = columns.filter((column) => column.sort !== undefined);
    const order = sort && make('select', {
      'aria-label': 'Order',
      class: 'order',
      change: ({ target }) => {
        const [by, direction] = target.value.split(' ');
        this.#go({ sort: by, order: direction });
      },
    }, ...orders.flatMap(({ sort: by, title: name, first = 'asc' }) => {
      const directions = first === 'asc' ? ['asc', 'desc'] : ['desc', 'asc'];
      const arrow = { asc: '↑', desc: '↓' };
      return directions.map((way) => make('option', { value: `${by} ${way}`, text: `${name} ${arrow[way]}` }));
    }));
    const amount = make('span', { class: 'amount' });
    const chips = make('div', { class: 'chips' });
    const pager = new Pager((part) => this.#go(part));
    const element = make('section', { class: `view ${this.#about.name}`, 'aria-busy': 'true' },
      make('header', { class: 'head' },
        make('h1', { text: title, tabindex: '-1' }), amount, make('div', { class: 'actions' }, ...this.#about.actions)),
      make('div', { class: 'tools', role: 'search' },
        make('div', { class: 'search' }, icon('search'), search, make('kbd', { 'aria-hidden': 'true', text: '/' })),
        ...selects.map((select) => select.element), order || null),
      chips, table.element, pager.element);
    return { element, search, selects, table, order, amount, chips, pager };
  }

  // Shows what is chosen.
  #reflect() {
    const { search, selects, order, table, chips } = this.#parts;
    const { sort, order: direction } = this.#chosen;
    if (search.value.trim() !== this.#chosen.search) search.value = this.#chosen.search;
    this.#options();
    if (order) order.value = `${sort} ${direction}`;
    table.sorted(sort, direction, this.#about.restless.includes(sort));
    const chosen = this.#about.filters.filter(({ chip, name }) => chip && this.#chosen[name] !== '');
    chips.replaceChildren(...chosen.map((filter) => this.#chip(filter)));
    setHidden(chips, chips.childElementCount === 0);
    for (const { filter, element } of selects) setHidden(element, filter.chip !== undefined);
    this.#whenEmpty();
  }

  #chip({ name, label, chip }) {
    const without = { type: 'button', 'aria-label': `Without ${label}`, click: () => this.#go({ [name]: '' }) };
    return make('span', { class: 'chip' }, chip(this.#chosen[name]), make('button', without, icon('close')));
  }

  #filtered() {
    return this.#chosen.search !== '' || this.#about.filters.some(({ name }) => this.#chosen[name] !== '');
  }

  #whenEmpty() {
    const { none, many, paged } = this.#about;
    const hint = make('p', { class: 'hint', text: none.hint });
    if (!this.#filtered()) {
      this.#parts.table.whenEmpty(make('p', { text: none.text }), hint);
      return;
    }
    const without = { search: '', ...Object.fromEntries(this.#about.filters.map(({ name }) => [name, ''])) };
    this.#parts.table.whenEmpty(
      make('p', { text: `No ${many} match.` }),
      // What is not paged is what the hub remembers, which others may have pushed out.
      ...(paged ? [] : [hint]),
      make('button', {
        type: 'button',
        text: 'Show all',
        click: () => {
          this.#parts.search.value = '';
          this.#go(without);
        },
      }),
    );
  }

  #options() {
    for (const { filter, element } of this.#parts.selects) {
      if (filter.chip !== undefined) continue;
      const chosen = this.#chosen[filter.name];
      const options = [{ value: '', text: filter.all }, ...filter.options()];
      if (!options.some(({ value }) => value === chosen)) options.push({ value: chosen, text: chosen });
      const known = Array.from(element.options, ({ value, text }) => `${value}\n${text}`).join('\n');
      if (known !== options.map(({ value, text }) => `${value}\n${text}`).join('\n')) {
        element.replaceChildren(...options.map(({ value, text }) => make('option', { value, text })));
      }
      element.value = chosen;
    }
  }

  #count(matched, total) {
    const { one, many } = this.#about;
    const word = total === 1 ? one : many;
    const text = matched === total ? `${count(total)} ${word}` : `${count(matched)} of ${count(total)} ${word}`;
    setText(this.#parts.amount, text);
    if (this.#news) this.#page.announce(text);
    this.#news = false;
  }
}
