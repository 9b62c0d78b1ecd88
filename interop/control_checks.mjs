// Checks that run inside of the control center's page. Each gives a list of what is wrong.

// Everything that can be used has a name, every view one title, and every table titles of its columns.
export function accessible() {
  const wrong = [];
  const visible = (element) => element.checkVisibility({ visibilityProperty: true });
  const nameOf = (element) => (
    element.getAttribute('aria-label') || Array.from(element.labels ?? [], (label) => label.textContent).join(' ')
      || element.textContent || element.title
  ).trim();
  for (const element of document.querySelectorAll('a, button, input, select, textarea, [tabindex="0"]')) {
    if (visible(element) && nameOf(element) === '' && element.getAttribute('role') !== 'log') {
      wrong.push(`no name: ${element.outerHTML.slice(0, 120)}`);
    }
  }
  const titles = Array.from(document.querySelectorAll('h1')).filter(visible);
  if (titles.length !== 1) wrong.push(`${titles.length} titles`);
  for (const table of document.querySelectorAll('main table')) {
    if (!table.getAttribute('aria-label')) wrong.push('a table without a name');
    for (const head of table.querySelectorAll('th')) {
      if (!head.scope || head.textContent.trim() === '') wrong.push(`a title of a table: ${head.outerHTML}`);
    }
  }
  if (document.querySelector('img:not([alt])') !== null) wrong.push('an image without alt');
  const ids = Array.from(document.querySelectorAll('[id]'), (element) => element.id);
  if (new Set(ids).size !== ids.length) wrong.push('an id twice');
  for (const place of ['main', 'nav', 'header']) if (!document.querySelector(place)) wrong.push(`no ${place}`);
  return wrong;
}

// What is told covers nothing that can be pressed.
export function covered() {
  const toasts = Array.from(document.querySelectorAll('.toast'), (toast) => toast.getBoundingClientRect());
  if (toasts.length === 0) return ['nothing is told'];
  const usable = Array.from(document.querySelectorAll('a, button, input, select, textarea'));
  const visible = usable.filter((element) => element.checkVisibility({ visibilityProperty: true }));
  return visible.filter((element) => {
    const box = element.getBoundingClientRect();
    return toasts.some((toast) => (
      box.left < toast.right && toast.left < box.right && box.top < toast.bottom && toast.top < box.bottom
    ));
  }).map((element) => element.outerHTML.slice(0, 120));
}

// Nothing stands out of its place in a list of facts, a table or a title.
export function overflowing() {
  const places = document.querySelectorAll('main dd, main td, main th, main li, main header, main .panel');
  const wrong = [];
  for (const place of places) {
    if (!place.checkVisibility()) continue;
    const right = place.getBoundingClientRect().right;
    const out = Array.from(place.querySelectorAll('span, a, b, time, button, bdi')).find((element) => (
      element.checkVisibility() && !element.closest('.hidden-text') && element.getBoundingClientRect().right > right + 1
    ));
    if (out !== undefined) wrong.push(`${out.outerHTML.slice(0, 120)} in ${place.outerHTML.slice(0, 60)}`);
  }
  return wrong;
}

// Text has a contrast of 4.5, or 3 if it is large (WCAG 2, AA).
export function contrast() {
  const wrong = new Set();
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const channels = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return Array.from(canvas.getImageData(0, 0, 1, 1).data);
  };
  const groundOf = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const color = channels(getComputedStyle(at).backgroundColor);
      if (color[3] > 250) return color;
    }
    return [255, 255, 255, 255];
  };
  const luminance = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const open = document.querySelector('dialog[open]');
  const walker = document.createTreeWalker(open ?? document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const shown = element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    const apart = element.closest('.hidden-text, :disabled, svg, .skip, noscript');
    if (walker.currentNode.data.trim() === '' || !shown || apart) continue;
    const style = getComputedStyle(element);
    const [text, ground] = [luminance(channels(style.color)), luminance(groundOf(element))];
    const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) {
      const text = walker.currentNode.data.slice(0, 30);
      wrong.add(`${ratio.toFixed(2)} ${element.localName}.${element.className}: ${text}`);
    }
  }
  return [...wrong];
}

// The pure modules of the page.
export async function modules() {
  const load = (name) => import(`/control/${name}.js`);
  const wrong = [];
  const same = (given, expected, what) => {
    const [one, other] = [JSON.stringify(given), JSON.stringify(expected)];
    if (one !== other) wrong.push(`${what}: ${one} is not ${other}`);
  };
  const throws = (act, what) => {
    try {
      act();
      wrong.push(`${what} does not fail`);
    } catch {
      // As it should.
    }
  };

  const { bytes, clock, duration, plural, roundTrip, short } = await load('format');
  const numbers = [0, 0.04, 0.44, 9.96, 12.34, 99.96, 999.4, 999.6, 1_234, 99_960, 999_600, 1e9, 2.5e13];
  same(numbers.map((value) => short(value)),
    ['0', '0', '0.4', '10', '12', '100', '999', '1k', '1.2k', '100k', '1M', '1G', '25T'], 'short');
  same([0, 1023, 1024, 1536, 1048575, 1048576, 5e12].map(bytes),
    ['0 B', '1023 B', '1 KiB', '1.5 KiB', '1 MiB', '1 MiB', '4.5 TiB'], 'bytes');
  same([0, 999, 61_000, 3_600_000, 3_725_000, 90_061_000, -5].map(duration),
    ['0s', '0s', '1m 1s', '1h', '1h 2m', '1d 1h', '0s'], 'duration');
  same([null, 420, 42_100, 420_000, 12e6].map(roundTrip), ['–', '0.42 ms', '42.1 ms', '420 ms', '12 s'], 'round trip');
  same([plural(1, 'end'), plural(2000, 'end')], ['1 end', '2,000 ends'], 'plural');
  const noon = new Date(2026, 0, 2, 12, 30, 5).getTime();
  same([clock(noon, noon), clock(noon, noon + 86_400_000)], ['12:30:05', '2 Jan 12:30:05'], 'clock');

  const { axis, roundUp } = await load('scale');
  same([7, 10, 11, 1234, 0].map((value) => roundUp(value, 10, false)), [10, 10, 12, 1600, 10], 'round numbers');
  same([1000, 1025, 5e6].map((value) => roundUp(value, 1024, true)), [1024, 1536, 6 * 1024 ** 2], 'round bytes');
  same([axis(null, 70, 10), axis(80, 30, 10), axis(80, 10, 10), axis(80, 90, 10)], [80, 80, 10, 100], 'an axis');

  const { keyOf, keyOfText, nameOf, textOf } = await load('channel_key');
  const keys = [
    ['lobby', 'lobby'], ['a/b c', 'a%2Fb%20c'], ['', ';'], ['.', ';.'], ['..', ';..'], ['...', '...'],
    ['%41', '%2541'], ['é', '%C3%A9'], [';', '%3B'],
  ];
  for (const [name, key] of keys) {
    same(keyOfText(name), key, 'a key');
    same(textOf(key), name, 'the name of a key');
  }
  const every = Uint8Array.from({ length: 256 }, (_, index) => index);
  same([...nameOf(keyOf(every))], [...every], 'all bytes in a key');

  const { Events } = await load('events');
  const events = new Events();
  same(events.read('event: hub\nda'), [], 'half an event');
  same(events.read('ta: {"a":1}\n\n: \n\nevent: point\ndata: 2\n\n'),
    [{ name: 'hub', data: '{"a":1}' }, { name: 'point', data: '2' }], 'events');

  const { parse, address } = await load('route');
  same(parse('#/channels/a%2Fb?offset=50'), { view: 'channels', id: 'a%2Fb', query: {} }, 'an address');
  same([parse('').view, parse('#/sessions').id], ['overview', null], 'short addresses');
  const query = { search: 'a&b', sort: '', offset: 50 };
  same(address('sessions', null, query), '#/sessions?search=a%26b&offset=50', 'an address with a query');

  const { plain } = await load('names');
  same(plain('a\u202eb\u0000\u200d\ud800'), 'a[U+202E]b[U+0000][U+200D][U+D800]', 'what is not seen');
  const seen = '👩\u200d💻 ❤\ufe0f 1\ufe0f\u20e3 🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} e\u0301 שלום <b>';
  same(plain(seen), seen, 'what is seen');
  const blank = [
    0xad, 0x34f, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x180b, 0x180e, 0x2028, 0x2060, 0x2065, 0x206f, 0x2800, 0x3164,
    0xfe00, 0xfe0e, 0xfe0f, 0xfeff, 0xffa0, 0xfff9, 0x16fe4, 0x1bca0, 0x1d159, 0x1d173, 0xe0001, 0xe0041, 0xe0100, 0xe01ef,
  ];
  for (const code of blank) {
    const number = code.toString(16).toUpperCase().padStart(4, '0');
    same(plain(`Ann${String.fromCodePoint(code)}`), `Ann[U+${number}]`, 'what looks like nothing');
  }
  same(plain('👍\ufe0f👍\u200d'), '👍[U+FE0F]👍[U+200D]', 'what changes nothing of an emoji');

  const { decode, encodeMap } = await load('msgpack');
  const long = 'é'.repeat(20);
  const map = encodeMap({ v: 1, name: long, none: undefined, token: Uint8Array.of(1, 2), room: true, big: 70_000 });
  const plainly = ([key, value]) => [key, value.buffer ? [...value] : value];
  const read = Array.from(decode(Uint8Array.from(map)).value, plainly);
  same(read, [['v', 1], ['name', long], ['token', [1, 2]], ['room', true], ['big', 70_000]], 'a map');
  const array = Uint8Array.of(0x95, 0xe0, 0xc0, 0xc2, 0xcd, 1, 0, 0xa1, 0x61);
  same(decode(array).value, [-32, null, false, 256, 'a'], 'an array');
  throws(() => decode(Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff)), 'an array of four thousand millions');
  throws(() => decode(Uint8Array.of(0xdb, 0, 0, 0, 9, 0x61)), 'a text that ends too early');
  throws(() => decode(new Uint8Array(64).fill(0x91)), 'a deep array');
  throws(() => decode(Uint8Array.of(0xc1)), 'no MessagePack');

  const { said } = await load('said');
  const utf8 = (text) => new TextEncoder().encode(text);
  same(said(utf8('hello')), { text: 'hello' }, 'text');
  same(said(utf8('["message","hi"]')), { text: 'hi' }, 'talk of Socket.IO');
  const event = (name, values, attachments = []) => ({ event: name, values, attachments });
  // Numbers stay as they came, also where JavaScript cannot hold them.
  same(said(utf8('["a\\"b", {"n":90071992547409931}, 1]')), event('a"b', ['{"n":90071992547409931}', '1']), 'an event');
  same(said(utf8('["a"]')), event('a', []), 'an event without values');
  const nested = ['[1,[2,"],"]]', '"a,\\"b]"', '{"x":{"y":[3,4]},"z":"}"}', 'null'];
  same(said(utf8(`["a", ${nested.join(' , ')} ]`)), event('a', nested), 'values one by one');
  for (const text of [' ["a"]', '[1]', '["connect"]', '["a"', '[]', '']) same(said(utf8(text)), { text }, 'no event');
  same(said(Uint8Array.of(0x92, 0xa5, ...utf8('["a"]'), 0xc4, 2, 9, 9)), event('a', [], [2]), 'attachments');
  same(said(Uint8Array.of(0xff, 0)), { bytes: 2, start: 'ff 00' }, 'bytes');

  const { Frames, Messages, Fields, frame, joined, sending, varint } = await load('native_frames');
  same([0, 127, 128, 300, 16384, 4294967295].map(varint),
    [[0], [0x7f], [0x80, 1], [0xac, 2], [0x80, 0x80, 1], [0xff, 0xff, 0xff, 0xff, 0x0f]], 'varints');
  const stream = joined([frame(0x30, [0], utf8('hello')), frame(0x04, new Uint8Array(200))]);
  for (let cut = 0; cut <= stream.length; cut += 1) {
    const frames = new Frames();
    const read = [...frames.read(stream.subarray(0, cut)), ...frames.read(stream.subarray(cut))];
    same(read.map(({ type, body }) => [type, body.length]), [[0x30, 6], [0x04, 200]], `frames cut at ${cut}`);
  }
  throws(() => new Frames().read(Uint8Array.of(0)), 'an empty frame');
  throws(() => new Frames().read(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x7f)), 'a number that is too large');
  throws(() => new Frames().read(Uint8Array.of(0x81, 0x80, 0x04)), 'a frame that is too long');
  const large = new Uint8Array(100_000).map((_, index) => index);
  const messages = new Messages();
  const whole = sending(7, large, 65_536).map((bytes) => {
    const [{ type, body }] = new Frames().read(bytes);
    const fields = new Fields(body);
    same([type, fields.varint()], [0x70, 7], 'a part');
    return messages.read('here', true, fields);
  }).filter((message) => message !== null);
  same([whole.length, whole[0].total, whole[0].data.length], [1, 100_000, 65_536], 'a message in parts');
  same(whole[0].data.every((byte, index) => byte === large[index]), true, 'the beginning of the message');
  const tail = new Fields(Uint8Array.of(0, 9, 5, 1, 2, 3, 4));
  same(messages.read('there', true, tail), null, 'a tail without a beginning');
  throws(() => messages.read('there', true, new Fields(Uint8Array.of(0, 2, 1, 1, 2))), 'a part beyond the end');
  return wrong;
}
