// One session: who it is, what it does, and with whom.
import { ChannelLink, Fact, Spoken, Who, facts, panel } from './cells.js';
import { Chart } from './chart.js';
import { Since, now } from './clock.js';
import { Keyed, make, setHidden, setText } from './dom.js';
import { kick } from './ending.js';
import { bytes, bytesPerSecond, count, roundTrip, short } from './format.js';
import { Name, called } from './names.js';
import { address } from './route.js';

const SPAN_MS = 120_000;

export class SessionView {
  title = 'Session';
  #page;
  #number;
  #run = null;
  #session = null;
  #points = [];
  #name = new Name();
  #marks = {
    away: mark('away', 'its connection is lost, and the hub waits for it'),
    proven: mark('proven id', 'it has shown that it has the key of its id', 'good'),
  };
  #gone = make('p', { class: 'notice', hidden: true });
  #kick;
  #spoken = new Spoken();
  #since = new Since(' ago');
  #facts = {
    id: new Fact('Peer id', null, 'long'),
    address: new Fact('Address', null, 'long'),
    spoken: new Fact('Protocol').put(this.#spoken.element),
    since: new Fact('Connected').put(this.#since.element),
    roundTrip: new Fact('Round trip'),
    outbox: new Fact('Waits to be sent'),
    memory: new Fact('Memory held for it'),
  };
  #chart = new Chart({
    label: 'Messages per second',
    format: short,
    series: [
      { name: 'from it', class: 'in', value: ({ messages_in_per_s: rate }) => rate },
      { name: 'to it', class: 'out', value: ({ messages_out_per_s: rate }) => rate },
    ],
  });
  #totals = totals();
  #channels = new Members('It is in no channel.', channelRow, ({ key }) => key);
  #links = new Members('It has no links.', linkRow, ({ session }) => session);
  #services = new Members('It provides no service.', serviceRow, (name) => name);

  constructor(page, { id }) {
    this.#page = page;
    this.#number = id;
    this.#kick = make('button', {
      type: 'button',
      class: 'danger',
      text: 'Kick…',
      disabled: true,
      click: () => kick(page, this.#session),
    });
    const { channels, links, services } = this.#lists();
    this.element = make('section', { class: 'view session', 'aria-busy': 'true' },
      make('a', { class: 'back', href: address('sessions'), text: '← Sessions' }),
      make('header', { class: 'head' },
        make('h1', { tabindex: '-1' }, this.#name.element),
        make('span', { class: 'amount', text: `session ${id}` }), this.#marks.away, this.#marks.proven,
        make('div', { class: 'actions' }, this.#kick)),
      this.#gone,
      make('div', { class: 'body' },
        facts(...Object.values(this.#facts)),
        make('div', { class: 'charts' }, this.#chart.element, this.#totals.element),
        make('div', { class: 'panels' }, channels, links, services)));
    this.#chart.show([], SPAN_MS);
  }

  watch() {
    return { views: [], query: { session: this.#number } };
  }

  update() {}

  show(event, data) {
    // Numbers of sessions begin anew with the hub.
    if (event === 'hub') {
      if (this.#run !== null && this.#run !== data.started_at_ms) {
        this.#end('The hub was started anew. This was a session of the run before.');
      }
      this.#run = data.started_at_ms;
    }
    if (event === 'gone') this.#end('This session has ended.');
    if (event === 'session' && this.#gone.hidden) this.#set(data);
    if (event === 'point') this.#draw();
  }

  #lists() {
    return {
      channels: panel('Channels and rooms', this.#channels.element),
      links: panel('Links to', this.#links.element),
      services: panel('Services', this.#services.element),
    };
  }

  #set(session) {
    this.#session = session;
    this.element.removeAttribute('aria-busy');
    this.title = called(session.name, `Session ${session.session}`);
    this.#name.set(session.name);
    setHidden(this.#marks.away, !session.away);
    setHidden(this.#marks.proven, !session.proven);
    this.#kick.disabled = false;
    this.#facts.id.set(session.id);
    this.#spoken.set(session);
    this.#facts.address.set(session.address ?? 'inside the program');
    this.#since.set(session.since_ms);
    this.#facts.roundTrip.set(roundTrip(session.round_trip_us));
    this.#facts.outbox.set(bytes(session.outbox_bytes));
    this.#facts.memory.set(bytes(session.memory_bytes));
    this.#totals.set(session);
    this.#channels.set(session.channels);
    this.#links.set(session.links, session.link_count);
    this.#services.set(session.services);
  }

  // The hub says nothing of a session that does nothing, so the points follow its own ones.
  #draw() {
    if (this.#session === null || !this.#gone.hidden) return;
    this.#points.push({ ...this.#session, at_ms: now() });
    while (this.#points[0].at_ms < now() - SPAN_MS) this.#points.shift();
    this.#chart.show(this.#points, SPAN_MS);
  }

  #end(text) {
    if (!this.#gone.hidden) return;
    this.element.removeAttribute('aria-busy');
    this.element.classList.toggle('unknown', this.#session === null);
    const never = 'There is no such session (any more).';
    setText(this.#gone, this.#session === null ? never : `${text} Below is what was known of it last.`);
    for (const name of ['since', 'roundTrip', 'outbox', 'memory']) this.#facts[name].show(false);
    setHidden(this.#gone, false);
    this.#kick.disabled = true;
    if (this.#session === null) setText(this.#name.element, `Session ${this.#number}`);
  }
}

function mark(text, title, kind = '') {
  return make('span', { class: `mark ${kind}`, hidden: true, text, title });
}

// What it has said and got, since it came and at present.
function totals() {
  const ways = [['from it', 'in'], ['to it', 'out']];
  const units = [
    ['Messages', 'messages', count, (value) => `${short(value)}/s`],
    ['Bytes', 'bytes', bytes, bytesPerSecond],
  ];
  const rows = units.flatMap(([title, unit, format, rate]) => ways.map(([way, field]) => {
    const [all, now] = [make('td', { class: 'number' }), make('td', { class: 'number' })];
    const set = (session) => {
      setText(all, format(session[`${unit}_${field}`]));
      setText(now, rate(session[`${unit}_${field}_per_s`]));
    };
    return { element: make('tr', {}, make('th', { scope: 'row', text: `${title} ${way}` }), all, now), set };
  }));
  const heads = ['since it came', 'now'].map((text) => make('th', { scope: 'col', class: 'number', text }));
  const element = make('table', { class: 'totals', 'aria-label': 'Totals' },
    make('thead', {}, make('tr', {}, make('td'), ...heads)), make('tbody', {}, ...rows.map((row) => row.element)));
  return { element, set: (session) => rows.forEach((row) => row.set(session)) };
}

// A short list that says so if it is empty.
class Members {
  #rows;
  #key;
  #nothing;
  #list = make('ul', { class: 'members' });
  #more = make('p', { class: 'faint', hidden: true });

  constructor(nothing, row, key) {
    this.#nothing = make('p', { class: 'nothing', text: nothing });
    this.#rows = new Keyed(this.#list, row);
    this.#key = key;
    this.element = make('div', {}, this.#nothing, this.#list, this.#more);
  }

  // `all`: how many there are, of which the hub tells the first.
  set(items, all = items.length) {
    this.#rows.show(items, this.#key);
    setHidden(this.#nothing, items.length > 0);
    setText(this.#more, `and ${count(all - items.length)} more`);
    setHidden(this.#more, all === items.length);
  }
}

function channelRow() {
  const link = new ChannelLink();
  const role = make('span', { class: 'role' });
  return {
    element: make('li', {}, link.element, role),
    update(channel) {
      link.set(channel);
      setText(role, channel.owner ? 'owner' : `${channel.room ? 'room, ' : ''}member ${channel.number}`);
    },
  };
}

function linkRow() {
  const who = new Who();
  const protocol = make('span', { class: 'role' });
  return {
    element: make('li', {}, who.element, protocol),
    update(peer) {
      who.set(peer);
      setText(protocol, peer.protocol);
    },
  };
}

function serviceRow(name) {
  const shown = new Name();
  shown.set(name);
  return {
    element: make('li', {},
      make('a', { class: 'who', href: address('services', null, { search: name }) }, shown.element)),
    update() {},
  };
}
