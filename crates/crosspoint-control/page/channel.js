// One channel or room with its members.
import { Fact, Who, facts } from './cells.js';
import { kindOf } from './channels.js';
import { textOf } from './channel_key.js';
import { Since } from './clock.js';
import { make, setHidden, setText } from './dom.js';
import { close } from './ending.js';
import { count } from './format.js';
import { Name, called } from './names.js';
import { Pager, size } from './pager.js';
import { address, go } from './route.js';
import { Table, textCell } from './table.js';

export class ChannelView {
  title = 'Channel';
  #key;
  #part;
  #channel = null;
  #name = new Name('empty name');
  #gone;
  #close;
  #since = new Since();
  #owner = new Who();
  #facts = {
    kind: new Fact('Kind'),
    owner: new Fact('Owner'),
    members: new Fact('Members'),
    since: new Fact('Exists for').put(this.#since.element),
  };
  #table;
  #pager = new Pager((part) => go(address('channels', this.#key, part)));

  constructor(page, { id, query }) {
    this.#key = id;
    this.#part = part(query);
    this.#close = make('button', {
      type: 'button',
      class: 'danger',
      disabled: true,
      text: 'Close…',
      click: () => close(page, this.#channel),
    });
    this.#gone = make('p', { class: 'notice', hidden: true });
    this.#table = new Table({
      label: 'Members',
      key: ({ number }) => number,
      columns: [
        { title: 'Number', class: 'number tight', cell: textCell(({ number }) => String(number)) },
        { title: 'Session', class: 'main', cell: whoCell },
        { title: 'Protocol', class: 'kind', cell: textCell(({ protocol }) => protocol) },
      ],
    });
    this.#table.whenEmpty(make('p', { text: 'It has no members.' }));
    this.title = called(textOf(id), 'Channel');
    this.#name.set(textOf(id));
    this.element = make('section', { class: 'view channel', 'aria-busy': 'true' },
      make('a', { class: 'back', href: address('channels'), text: '← Channels' }),
      make('header', { class: 'head' }, make('h1', { tabindex: '-1' }, this.#name.element),
        make('div', { class: 'actions' },
          make('a', { class: 'button', href: address('talk', id), text: 'Talk' }), this.#close)),
      this.#gone,
      make('div', { class: 'body' },
        facts(...Object.values(this.#facts)),
        make('div', { class: 'panel' },
          make('header', {}, make('h2', { text: 'Members' }),
            make('a', { class: 'more', href: address('sessions', null, { channel: id }), text: 'Show as sessions' })),
          this.#table.element, this.#pager.element)));
  }

  watch() {
    const { offset, limit } = this.#part;
    return { views: [], query: { channel: this.#key, 'channel.offset': offset, 'channel.limit': limit } };
  }

  update(query) {
    this.#part = part(query);
  }

  show(event, data) {
    if (event === 'gone') this.#end();
    if (event === 'channel') this.#set(data);
  }

  #set(channel) {
    const { members } = channel;
    const { offset, limit } = this.#part;
    if (members.items.length === 0 && members.total > 0 && offset > 0) {
      go(address('channels', this.#key, { offset: Math.floor((members.total - 1) / limit) * limit, limit }), true);
      return;
    }
    this.#channel = channel;
    this.element.removeAttribute('aria-busy');
    this.element.classList.remove('unknown');
    setHidden(this.#gone, true);
    this.#name.set(channel.name);
    this.#close.disabled = false;
    setText(this.#close, channel.declared ? 'Empty…' : 'Close…');
    this.#facts.kind.set(kindOf(channel));
    if (channel.owner === null) this.#facts.owner.set('the hub');
    else {
      this.#owner.set(channel.owner);
      if (!this.#owner.element.isConnected) this.#facts.owner.put(this.#owner.element);
    }
    this.#facts.members.set(`${count(members.total)} of ${count(channel.members_max)}`);
    this.#facts.since.show(true);
    this.#since.set(channel.since_ms);
    this.#table.show(members.items);
    this.#pager.show({ offset, limit, matched: members.total, shown: members.items.length });
  }

  // A channel of the same name may be created again, and is shown then.
  #end() {
    this.element.removeAttribute('aria-busy');
    this.element.classList.toggle('unknown', this.#channel === null);
    const never = 'No channel or room has this name (any more).';
    this.#facts.members.set('none');
    this.#facts.since.show(false);
    setText(this.#gone, this.#channel === null ? never : 'This channel is closed.');
    setHidden(this.#gone, false);
    this.#close.disabled = true;
    this.#table.show([]);
  }
}

function part(query) {
  return { offset: Math.max(0, Math.floor(Number(query.get('offset'))) || 0), limit: size(query.get('limit')) };
}

function whoCell(element) {
  const who = new Who();
  element.append(who.element);
  return (item) => who.set(item);
}
