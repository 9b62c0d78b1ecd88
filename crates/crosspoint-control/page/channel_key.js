// Names of channels are bytes. A key is such a name in the form that paths of the API and addresses of this page have
// (docs/control.md). Pure.

const PLAIN = /^[A-Za-z0-9._-]$/;

export function keyOf(name) {
  const key = Array.from(name, (byte) => {
    const letter = String.fromCharCode(byte);
    return PLAIN.test(letter) ? letter : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }).join('');
  // Nothing, and one or two dots, would be lost in a path.
  return /^\.{0,2}$/.test(key) ? `;${key}` : key;
}

export function keyOfText(text) {
  return keyOf(new TextEncoder().encode(text));
}

// The bytes that a key stands for.
export function nameOf(key) {
  const name = [];
  const text = new TextEncoder().encode(key.replace(/^;/, ''));
  for (let at = 0; at < text.length; at += 1) {
    const code = text[at] === 0x25 ? parseInt(String.fromCharCode(text[at + 1], text[at + 2]), 16) : NaN;
    if (Number.isNaN(code)) {
      name.push(text[at]);
    } else {
      name.push(code);
      at += 2;
    }
  }
  return Uint8Array.from(name);
}

// As people read it.
export function textOf(key) {
  return new TextDecoder().decode(nameOf(key));
}
