// Elements are made and changed here. Text only ever becomes text: nothing in this page builds HTML from data.

const SVG = 'http://www.w3.org/2000/svg';

// An element with attributes and children. The attribute `text` is its text, functions listen to events, and what is
// null or false is left out.
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// The same for the elements of SVG.
export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// One of the icons that index.html defines.
export function icon(name) {
  return draw('svg', { class: 'icon', 'aria-hidden': 'true' }, draw('use', { href: `#icon-${name}` }));
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'text') element.textContent = value;
    else if (typeof value === 'function') element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Changes a text only if it is another one, so that nothing is laid out anew for nothing, and in place, so that no nodes
// are thrown away each second.
export function setText(element, text) {
  const node = element.firstChild;
  if (!(node instanceof Text) || node.nextSibling !== null) element.textContent = text;
  else if (node.data !== text) node.data = text;
}

export function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

// Children of one element that follow a list: each item has an element of its own, which is made once, changed in place
// and moved only if the order is another one. `create(item)` gives `{ element, update(item) }`.
export class Keyed {
  #parent;
  #create;
  #shown = new Map();

  constructor(parent, create) {
    this.#parent = parent;
    this.#create = create;
  }

  // Shows exactly these items. `key(item)` tells them apart.
  show(items, key) {
    const keys = new Set(items.map(key));
    for (const [known, { element }] of this.#shown) {
      if (keys.has(known)) continue;
      element.remove();
      this.#shown.delete(known);
    }
    let next = this.#parent.firstElementChild;
    for (const item of items) {
      const { element } = this.#updated(key(item), item);
      if (element === next) next = next.nextElementSibling;
      else place(this.#parent, element, next);
    }
  }

  // Changes those that are shown, without another order. The rest stays, and is marked as old.
  refresh(items, key) {
    const present = new Map(items.map((item) => [key(item), item]));
    for (const [known, row] of this.#shown) {
      const item = present.get(known);
      if (item !== undefined) row.update(item);
      row.element.classList.toggle('old', item === undefined);
    }
  }

  #updated(key, item) {
    let row = this.#shown.get(key);
    if (row === undefined) {
      row = this.#create(item);
      this.#shown.set(key, row);
    }
    row.element.classList.remove('old');
    row.update(item);
    return row;
  }
}

// `moveBefore` keeps the focus and the selection in what is moved. Not every browser has it.
function place(parent, element, next) {
  if (element.isConnected && parent.moveBefore) parent.moveBefore(element, next);
  else parent.insertBefore(element, next);
}
