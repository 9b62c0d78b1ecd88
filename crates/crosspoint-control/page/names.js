// Text of strangers, shown so that it harms nobody: characters that cannot be seen, or that change the direction or the
// order of others, are shown by their number. A name is isolated from the text around it.
import { make, setAttribute } from './dom.js';

// A whole emoji is seen, with all that joins its parts. The class of the others is also that of the program's log
// (`crosspoint-cli`, `logging::clean`), where a test compares them.
const UNSEEN =
  /(?<emoji>\p{RGI_Emoji})|[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u{2800}\u{16fe4}\u{1d159}]/gv;

// The text in pieces: `{ text }`, and `{ unseen }` for a character that is shown by its number.
export function pieces(text) {
  const found = [];
  let behind = 0;
  for (const match of text.matchAll(UNSEEN)) {
    if (match.groups.emoji !== undefined) continue;
    if (match.index > behind) found.push({ text: text.slice(behind, match.index) });
    found.push({ unseen: number(match[0]) });
    behind = match.index + match[0].length;
  }
  if (behind < text.length) found.push({ text: text.slice(behind) });
  return found;
}

// The same as one text, for places that take no elements.
export function plain(text) {
  return pieces(text).map((piece) => piece.text ?? `[${piece.unseen}]`).join('');
}

function number(character) {
  return `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}`;
}

// Shows the text in an element, which should isolate it (`bdi`).
function show(element, text) {
  element.replaceChildren(...pieces(text).map(node));
}

// Shows texts whose lines stay lines, with so many lines and numbers of characters in all. One message of thousands
// would keep the page busy for minutes.
export class Lines {
  #left;

  constructor(most) {
    this.#left = most;
  }

  // Whether anything is left out.
  get isCut() {
    return this.#left < 0;
  }

  show(element, text) {
    const nodes = [];
    for (const [index, part] of text.split(/\r\n|\n/, Math.max(this.#left, 0) + 2).entries()) {
      const line = pieces(part).map(node);
      if (index > 0) line.unshift(make('br'));
      for (const one of line) {
        if (typeof one !== 'string') this.#left -= 1;
        if (this.isCut) break;
        nodes.push(one);
      }
      if (this.isCut) break;
    }
    element.replaceChildren(...nodes);
  }
}

function node(piece) {
  return piece.text ?? make('span', { class: 'unseen', text: piece.unseen });
}

// A name in an element that changes with `set`. What has no name says so. White space at an end of a name is seen by
// the quotes around it.
export class Name {
  #text;
  #without;

  constructor(without = 'no name') {
    this.element = make('bdi', { class: 'name' });
    this.#without = without;
  }

  set(text) {
    if (this.#text === text) return;
    this.#text = text;
    const none = text === null || text === undefined || text === '';
    this.element.classList.toggle('without', none);
    if (none) this.element.textContent = this.#without;
    else show(this.element, text.trim() === text ? text : `“${text}”`);
    setAttribute(this.element, 'title', none ? null : plain(text));
  }
}

// A name in a sentence, cut where it is long.
export function called(name, otherwise) {
  if (name === null || name === undefined || name === '') return otherwise;
  const text = plain(name);
  const letters = [...text];
  return letters.length > 48 ? `${letters.slice(0, 47).join('')}…` : text;
}
