// Enters a channel or room with this browser, and talks in it.
import { Who } from './cells.js';
import { keyOfText, nameOf, textOf } from './channel_key.js';
import { Keyed, make, setHidden, setText } from './dom.js';
import { bytes, count, plural } from './format.js';
import { keep } from './kept.js';
import { Log } from './log.js';
import { Name, called } from './names.js';
import { Membership } from './native.js';
import { address } from './route.js';
import { said } from './said.js';
import { Composer, EnterForm } from './talk_form.js';

const SHOWN_MEMBERS = 100;

const KICKED = 4;

// What ENDED means for somebody inside: its reasons have no text of their own.
const WHY = {
  0: 'you have left',
  2: 'its owner has closed it',
  3: 'its owner has gone, and the channel with it',
  [KICKED]: 'you were taken out',
  5: 'its owner has banned you',
  20: 'the hub is stopping',
};

export class TalkView {
  title = 'Talk';
  #key;
  #called = null;
  #membership = null;
  #about = null;
  #members = new Map();
  #painting = false;
  #form;
  #log = new Log();
  #composer;
  #inside;
  #here;
  #note = make('p', { class: 'hint' });
  #name = new Name('a room');
  #list = make('ul', { class: 'members' });
  #rows = new Keyed(this.#list, memberRow);
  #amount = make('h2');
  #more = make('p', { class: 'faint' });

  constructor(_page, { id }) {
    this.#key = id;
    this.#form = new EnterForm(id === null, (event) => this.#enter(event));
    this.#composer = new Composer((text) => this.#say(text));
    const leave = make('button', { type: 'button', text: 'Leave', click: () => this.#over('You have left.', false) });
    this.#here = make('aside', { class: 'here' },
      make('header', {}, this.#amount, leave), this.#list, this.#more);
    this.#inside = make('div', { class: 'inside', hidden: true },
      make('div', { class: 'talk' }, this.#note, this.#log.element, this.#composer.element), this.#here);
    const back = id === null ? ['channels', null, '← Channels'] : ['channels', id, '← Channel'];
    this.#name.set(id === null ? null : textOf(id));
    this.element = make('section', { class: 'view talking' },
      make('a', { class: 'back', href: address(back[0], back[1]), text: back[2] }),
      make('header', { class: 'head' }, make('h1', { tabindex: '-1' }, 'Talk in ', this.#name.element)),
      this.#form.element, this.#inside);
  }

  watch() {
    return { views: [], query: {} };
  }

  update() {}

  show() {}

  leave() {
    if (this.#membership !== null) this.#over('You have left.', false);
  }

  #enter(event) {
    event.preventDefault();
    const { room, name, token, password } = this.#form.values;
    const key = this.#key ?? keyOfText(room);
    this.#called = name === '' ? null : name;
    keep('talk-name', this.#called);
    const url = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/`;
    const options = { name, token, password, create: this.#form.creates };
    this.#form.busy = true;
    this.#members.clear();
    this.#membership = new Membership(url, nameOf(key), options, this.#handlers(key));
  }

  #entered(key, about) {
    if (this.#key === null) {
      // The address names the room from now on, so that it can be kept.
      this.#key = key;
      history.replaceState(null, '', address('talk', key));
      this.#name.set(textOf(key));
    }
    this.#about = about;
    const whom = about.room ? 'All others in the room hear' : 'Only the owner of the channel hears';
    setText(this.#note, `You are member ${about.member}. ${whom} what you say.`);
    this.#form.busy = false;
    this.#form.show(false);
    setHidden(this.#inside, false);
    setHidden(this.#composer.element, false);
    this.#log.note('You have entered.');
    this.#paint();
    this.#composer.focus();
  }

  #handlers(key) {
    return {
      entered: (about) => this.#entered(key, about),
      refused: (ended) => {
        this.#membership = null;
        this.#form.busy = false;
        this.#form.refused(ended);
      },
      came: (member, peer) => this.#changed(() => this.#members.set(member, peer)),
      went: (member) => this.#changed(() => this.#members.delete(member)),
      owner: ({ away, peer }) => {
        if (peer !== null) this.#log.note(`The owner is ${called(peer.name, 'another one')} now.`);
        else this.#log.note(away ? 'The owner is away. What you say waits.' : 'The owner is back.');
      },
      message: (message) => this.#heard(message),
      ended: ({ reason, message }) => this.#over(`It is over: ${message || why(reason, this.#about.room)}.`),
    };
  }

  #heard({ member, kind, total, data }) {
    const peer = this.#members.get(member);
    const who = { name: peer?.name ?? null, id: peer?.id ?? null, number: member };
    const cut = total > data.length;
    const content = cut ? { text: new TextDecoder().decode(data) } : said(data);
    const part = cut ? `the first ${bytes(data.length)} of ${bytes(total)}` : null;
    this.#log.message(who, { ...content, kind, cut: part });
  }

  #say(text) {
    const message = new TextEncoder().encode(text);
    const { max, member } = this.#about;
    if (message.length > max) return `This is too long: ${count(message.length)} bytes of at most ${count(max)}.`;
    this.#membership.say(message);
    this.#log.message({ name: this.#called, number: member, own: true }, { text, kind: 0, cut: null });
    return null;
  }

  // What was said stays readable.
  #over(text, wrong = true) {
    this.#membership?.leave();
    this.#membership = null;
    this.#members.clear();
    this.#paint();
    this.#log.note(text);
    setHidden(this.#composer.element, true);
    setText(this.#note, text);
    this.#composer.element.after(this.#form.element);
    this.#form.show(true, wrong ? text : '');
  }

  // Many members may come at once, and are shown together.
  #changed(change) {
    change();
    if (this.#painting) return;
    this.#painting = true;
    requestAnimationFrame(() => {
      this.#painting = false;
      this.#paint();
    });
  }

  #paint() {
    const shown = [];
    for (const entry of this.#members) {
      if (shown.length === SHOWN_MEMBERS) break;
      shown.push(entry);
    }
    const others = this.#members.size;
    const amount = others === 0 ? 'Nobody else' : plural(others, 'other');
    setText(this.#amount, this.#about?.room ? `${amount} here` : 'The owner listens');
    setHidden(this.#here, this.#membership === null);
    this.#rows.show(shown, ([member]) => member);
    setText(this.#more, `and ${count(others - shown.length)} more`);
    setHidden(this.#more, others === shown.length);
  }
}

// A room has no owner who could have done it.
function why(reason, isRoom) {
  if (isRoom && reason === KICKED) return 'the operator of the hub has taken you out';
  return WHY[reason] ?? `reason ${reason}`;
}

function memberRow() {
  const who = new Who('span');
  const number = make('span', { class: 'role' });
  return {
    element: make('li', {}, who.element, number),
    update([member, peer]) {
      who.set(peer);
      setText(number, `${peer.protocol}, ${member}`);
    },
  };
}
