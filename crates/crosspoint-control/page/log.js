// What is said in a room, the newest at the bottom. The number of lines is bounded, and what comes at once is drawn
// together.
import { shortId } from './cells.js';
import { make, setHidden, setText } from './dom.js';
import { bytes, clock, count } from './format.js';
import { Lines, Name } from './names.js';

const LINES_MAX = 500;
// Who is nearer to the end follows it.
const NEAR_END = 48;
// Of one message.
const PIECES_MAX = 100;

export class Log {
  #lines = make('ol', { role: 'log', 'aria-label': 'Messages', tabindex: '0' });
  #down = make('button', { type: 'button', class: 'down', text: '↓ Newest', hidden: true, click: () => this.#end() });
  #nothing = make('p', { class: 'nothing', text: 'Nothing was said since you came.' });
  #waiting = [];
  #dropped = 0;
  #drawing = false;

  constructor() {
    this.element = make('div', { class: 'log' }, this.#nothing, this.#lines, this.#down);
    this.#lines.addEventListener('scroll', () => setHidden(this.#down, this.#atEnd()), { passive: true });
  }

  note(text) {
    this.#add(() => make('li', { class: 'note', text }));
  }

  // `who` is `{ name, id, number, own }`, with number null for the owner, and id null for who is not among the members.
  // `content` is what `said` gives, with `kind` and `cut`.
  message(who, content) {
    const at = Date.now();
    this.#add(() => line(at, who, content));
  }

  #add(build) {
    this.#waiting.push(build);
    if (this.#waiting.length > LINES_MAX) {
      this.#waiting.shift();
      this.#dropped += 1;
    }
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  #draw() {
    const follow = this.#atEnd();
    if (this.#dropped > 0) {
      const text = `${count(this.#dropped)} messages came too fast to be shown.`;
      this.#lines.append(make('li', { class: 'note', text }));
      this.#dropped = 0;
    }
    this.#lines.append(...this.#waiting.map((build) => build()));
    this.#waiting = [];
    while (this.#lines.childElementCount > LINES_MAX) this.#lines.firstElementChild.remove();
    setHidden(this.#nothing, this.#lines.childElementCount > 0);
    if (follow) this.#end();
    else setHidden(this.#down, false);
  }

  #atEnd() {
    return this.#lines.scrollHeight - this.#lines.scrollTop - this.#lines.clientHeight < NEAR_END;
  }

  #end() {
    this.#lines.scrollTop = this.#lines.scrollHeight;
  }
}

function line(at, who, content) {
  const { number, own = false } = who;
  const name = new Name(nameless(who));
  name.set(who.name);
  const role = [own && 'you', who.name && number !== null && String(number)].filter(Boolean).join(', ');
  const told = make('span', { class: 'role', text: role });
  return make('li', { class: own ? 'own' : null },
    make('header', {}, name.element, told, make('time', { text: clock(at) })), body(content));
}

// Programs of Socket.IO speak in rooms in which they are not, and nobody is told who they are.
function nameless({ id, number, own }) {
  if (number === null) return 'owner';
  if (own) return `member ${number}`;
  return id === null ? 'somebody outside the room' : `member ${number}, ${shortId(id)}`;
}

function body({ text, event, values, attachments, bytes: length, start, kind, cut }) {
  const kinds = { 1: 'a call', 2: 'a reply' };
  const about = [kind === 0 ? null : kinds[kind] ?? `kind ${kind}`, cut].filter(Boolean);
  const element = make('div', { class: 'said' });
  const lines = new Lines(PIECES_MAX);
  if (text !== undefined) {
    const words = make('p', { dir: 'auto' });
    lines.show(words, text);
    element.append(words);
    if (text === '') about.push('an empty message');
  } else if (event !== undefined) {
    const name = make('bdi', { class: 'event' });
    lines.show(name, event);
    const shown = values.slice(0, PIECES_MAX).flatMap((value) => [' ', argument(value, lines)]);
    element.append(make('p', {}, name, ...shown));
    if (values.length > PIECES_MAX) about.push(`the first ${PIECES_MAX} of ${count(values.length)} arguments`);
    if (attachments.length > 0) about.push(`with ${attachments.map((size) => bytes(size)).join(', ')} of attachments`);
  } else {
    element.append(make('p', {}, make('code', { text: start })));
    about.push(`${count(length)} bytes`);
  }
  if (lines.isCut) about.push('cut, as it has too many lines or characters that cannot be seen');
  if (about.length > 0) setText(element.appendChild(make('p', { class: 'faint' })), about.join(', '));
  return element;
}

// An argument of an event: a text as it reads, everything else as JSON.
function argument(value, lines) {
  const element = make('code');
  lines.show(element, value.startsWith('"') ? `"${JSON.parse(value)}"` : value);
  return element;
}
