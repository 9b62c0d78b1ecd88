// The hub at one glance: its figures, graphs, limits and last ends.
import { Fact, Reason, Who, facts, panel } from './cells.js';
import { Chart } from './chart.js';
import { Since } from './clock.js';
import { Keyed, make, setAttribute, setHidden, setText } from './dom.js';
import { bytes, bytesPerSecond, clock, count, short, words } from './format.js';
import { keep, kept } from './kept.js';
import { address } from './route.js';

const SPANS = [{ minutes: 2, text: '2 min' }, { minutes: 10, text: '10 min' }];
const LAST_ENDS = 8;

export class Overview {
  title = 'Overview';
  #page;
  #charts = charts();
  #span = (kept('span') === '2' ? 2 : 10) * 60_000;
  #about = make('span', { class: 'amount' });
  #up = new Since();
  #version = make('span');
  #facts = {
    connections: new Meter('Connections'),
    memory: new Meter('Memory held for clients'),
    rooms: new Fact('Rooms'),
    channels: new Fact('Channels', 'channels with an owner'),
    members: new Fact('Members', 'members of rooms and channels together'),
    links: new Fact('Links'),
    services: new Fact('Services'),
    dropped: new Fact('Dropped', 'messages for receivers that were too slow or gone'),
  };
  #protocols = new Bars('No sessions.', (protocol) => address('sessions', null, { protocol }), (word) => word);
  #limits = new Bars('No limit was reached.', null, (word) => word);
  #closed = new Bars('No session has ended.', (reason) => address('ends', null, { reason }), words);
  #refused = new Bars('None.', null, words);
  #keptOut = new Bars('None.', null, words);
  #ends = make('ol', { class: 'last-ends' });
  #rows = new Keyed(this.#ends, endRow);
  #noEnds = make('p', { class: 'nothing', text: 'No session that was let in has ended since the hub was started.' });

  constructor(page) {
    this.#page = page;
    const spans = SPANS.map(({ minutes, text }) => make('label', {},
      make('input', {
        type: 'radio',
        name: 'span',
        value: minutes,
        checked: this.#span === minutes * 60_000,
        change: () => this.#spanning(minutes),
      }), make('span', { text })));
    const { connections, memory, ...others } = this.#facts;
    this.element = make('section', { class: 'view overview', 'aria-busy': 'true' },
      make('header', { class: 'head' },
        make('h1', { tabindex: '-1', text: this.title }), this.#about,
        make('fieldset', { class: 'choice' },
          make('legend', { class: 'hidden-text', text: 'Time shown in the graphs' }), ...spans)),
      make('div', { class: 'charts' }, ...this.#charts.map((chart) => chart.element)),
      make('div', { class: 'figures' },
        make('div', { class: 'meters' }, connections.element, memory.element), facts(...Object.values(others))),
      make('div', { class: 'panels' },
        panel('Sessions by protocol', this.#protocols.element),
        panel('Sessions ended', this.#closed.element),
        panel('Limits reached', this.#limits.element),
        panel('Refused',
          make('h3', { text: 'Connections' }), this.#keptOut.element,
          make('h3', { text: 'Commands' }), this.#refused.element)),
      panel('Last ends', this.#noEnds, this.#ends,
        make('a', { class: 'more', href: address('ends'), text: 'All recent ends' })));
    this.#about.append('version ', this.#version, ' · up ', this.#up.element);
    if (page.hub !== null) this.#hub(page.hub);
    this.#draw();
  }

  watch() {
    return { views: ['ends'], query: { 'ends.limit': LAST_ENDS, 'ends.let_in': 'yes' } };
  }

  update() {}

  show(event, data) {
    if (event === 'hub') this.#hub(data);
    if (event === 'point') this.#draw();
    if (event === 'ends') this.#ended(data.ends.slice(0, LAST_ENDS));
  }

  #spanning(minutes) {
    this.#span = minutes * 60_000;
    keep('span', String(minutes));
    this.#draw();
  }

  #draw() {
    for (const chart of this.#charts) chart.show(this.#page.history.points, this.#span);
  }

  #hub(hub) {
    this.element.removeAttribute('aria-busy');
    setText(this.#version, hub.version);
    this.#up.set(hub.started_at_ms);
    this.#facts.connections.set(hub.connections, hub.connections_max, count);
    this.#facts.memory.set(hub.memory_bytes, hub.memory_bytes_max, bytes);
    for (const name of ['rooms', 'channels', 'members', 'links', 'services', 'dropped']) {
      this.#facts[name].set(count(hub[name]));
    }
    this.#protocols.set(hub.sessions_by_protocol);
    this.#limits.set(hub.limit_hits);
    this.#closed.set(hub.closed);
    this.#keptOut.set(hub.connections_refused);
    this.#refused.set(hub.refused);
  }

  #ended(ends) {
    this.#rows.show(ends, (end) => `${end.session}`);
    setHidden(this.#noEnds, ends.length > 0);
  }
}

function charts() {
  const pair = (inward, outward) => [
    { name: 'from clients', class: 'in', value: (point) => point[inward] },
    { name: 'to clients', class: 'out', value: (point) => point[outward] },
  ];
  return [
    new Chart({
      label: 'Connections',
      format: (value) => (Number.isInteger(value) ? count(value) : short(value)),
      series: [
        { name: 'sessions', class: 'in', value: ({ sessions }) => sessions },
        { name: 'connections', class: 'all', value: ({ connections }) => connections },
      ],
    }),
    new Chart({ label: 'Messages per second', format: short, series: pair('messages_in', 'messages_out') }),
    new Chart({
      label: 'Bytes per second',
      format: bytesPerSecond,
      least: 1024,
      binary: true,
      series: pair('bytes_in', 'bytes_out'),
    }),
  ];
}

// A figure with the bound that it has.
class Meter {
  #value = make('b');
  #most = make('span');
  #bar = make('meter', { min: '0' });

  constructor(title) {
    this.#bar.setAttribute('aria-label', title);
    this.element = make('div', { class: 'meter' },
      make('h3', { text: title }), make('p', {}, this.#value, ' of ', this.#most), this.#bar);
  }

  set(value, most, format) {
    setText(this.#value, format(value));
    setText(this.#most, format(most));
    setAttribute(this.#bar, 'max', String(most));
    setAttribute(this.#bar, 'high', String(most * 0.8));
    setAttribute(this.#bar, 'value', String(value));
  }
}

// Counts by word, the largest first, with a bar for the share of each.
class Bars {
  #rows;
  #list = make('ol', { class: 'bars' });
  #nothing;

  constructor(nothing, href, text) {
    this.#nothing = make('p', { class: 'nothing', text: nothing });
    this.#rows = new Keyed(this.#list, ([word]) => {
      const amount = make('span', { class: 'number' });
      const bar = make('meter', { min: '0', 'aria-hidden': 'true' });
      const name = href === null
        ? make('span', { text: text(word), title: word })
        : make('a', { href: href(word), text: text(word) });
      return {
        element: make('li', {}, name, amount, bar),
        update([, value, most]) {
          setText(amount, count(value));
          setAttribute(bar, 'max', String(most));
          setAttribute(bar, 'value', String(value));
        },
      };
    });
    this.element = make('div', {}, this.#nothing, this.#list);
  }

  set(counts) {
    const entries = Object.entries(counts).filter(([, value]) => value > 0);
    entries.sort(([one, more], [other, less]) => less - more || one.localeCompare(other));
    const most = entries.reduce((sum, [, value]) => sum + value, 0);
    this.#rows.show(entries.map(([word, value]) => [word, value, most]), ([word]) => word);
    setHidden(this.#nothing, entries.length > 0);
  }
}

function endRow() {
  const at = make('time', { class: 'number' });
  const who = new Who('span');
  const protocol = make('span', { class: 'protocol' });
  const reason = new Reason();
  return {
    element: make('li', {}, at, who.element, protocol, reason.element),
    update(end) {
      setText(at, clock(end.ended_at_ms));
      who.set(end);
      setText(protocol, end.protocol);
      reason.set(end.reason, end.text);
    },
  };
}
