// How sessions and channels are shown wherever they occur.
import { icon, make, setAttribute, setHidden, setText } from './dom.js';
import { words } from './format.js';
import { Name } from './names.js';
import { address } from './route.js';

export function sessionAddress({ session }) {
  return address('sessions', String(session));
}

export function channelAddress({ key }) {
  return address('channels', key);
}

// The beginning of a peer id tells most apart.
export function shortId(id) {
  return id.slice(0, 8);
}

// A session by its name and the beginning of its id: a link to it, or a plain text if it has ended.
export class Who {
  #name = new Name();
  #id = make('span', { class: 'id' });

  constructor(tag = 'a') {
    this.element = make(tag, { class: 'who' }, this.#name.element, this.#id);
  }

  set(session) {
    this.#name.set(session.name);
    setText(this.#id, shortId(session.id));
    setHidden(this.#id, /^0*$/.test(session.id));
    this.element.classList.toggle('nameless', !session.name);
    if (this.element.localName === 'a') setAttribute(this.element, 'href', sessionAddress(session));
  }
}

export function sessionLink(session) {
  const link = new Who();
  link.set(session);
  return link.element;
}

export class ChannelLink {
  #name = new Name('empty name');

  constructor() {
    this.element = make('a', { class: 'who' }, this.#name.element);
  }

  set(channel) {
    this.#name.set(channel.name);
    setAttribute(this.element, 'href', channelAddress(channel));
  }
}

// The protocol, what carries it, and whether that is encrypted.
export class Spoken {
  #protocol = make('span', { class: 'protocol' });
  #transport = make('span', { class: 'transport' });
  #lock = make('span', { class: 'lock', title: 'inside TLS' },
    icon('lock'), make('span', { class: 'hidden-text', text: 'TLS' }));

  constructor() {
    this.element = make('span', { class: 'spoken' }, this.#protocol, this.#transport, this.#lock);
  }

  set({ protocol, transport, tls }) {
    setText(this.#protocol, protocol);
    setText(this.#transport, transport ?? '');
    setHidden(this.#lock, !tls);
  }
}

// A fact with its name, in a list of facts.
export class Fact {
  #value = make('dd');

  constructor(title, hint = null, kind = null) {
    this.element = make('div', { title: hint, class: kind }, make('dt', { text: title }), this.#value);
  }

  set(text) {
    setText(this.#value, text);
  }

  // Elements in place of a text.
  put(...children) {
    this.#value.replaceChildren(...children);
    return this;
  }

  show(shown) {
    setHidden(this.element, !shown);
  }
}

export function facts(...list) {
  return make('dl', { class: 'facts' }, ...list.map(({ element }) => element));
}

// A part of a view with a title.
export function panel(title, ...children) {
  return make('section', { class: 'panel' }, make('h2', { text: title }), ...children);
}

// Why a session has ended, in the hub's word and, on request, in its sentence. What is nobody's fault is quiet.
export class Reason {
  constructor() {
    this.element = make('span', { class: 'reason' });
  }

  set(reason, text) {
    setText(this.element, words(reason));
    setAttribute(this.element, 'title', text);
    setAttribute(this.element, 'data-kind', ENDS_WELL.has(reason) ? 'good' : ENDS_BADLY.has(reason) ? 'bad' : 'fair');
  }
}

const ENDS_WELL = new Set(['bye', 'left', 'hub_stopping', 'closed_by_owner']);
const ENDS_BADLY = new Set(['malformed', 'slow_receiver', 'internal', 'too_large', 'exhausted']);
