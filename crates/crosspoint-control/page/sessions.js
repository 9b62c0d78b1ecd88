// All sessions of the hub.
import { Spoken, Who, sessionAddress } from './cells.js';
import { Since } from './clock.js';
import { kick } from './ending.js';
import { make, setAttribute, setHidden } from './dom.js';
import { bytes, bytesPerSecond, roundTrip, short } from './format.js';
import { List } from './list.js';
import { plain } from './names.js';
import { textOf } from './channel_key.js';
import { textCell } from './table.js';

export function sessionsView(page, { query }) {
  return new List(page, {
    name: 'sessions',
    title: 'Sessions',
    one: 'session',
    many: 'sessions',
    search: 'Name, id, address or number',
    filters: [
      { name: 'protocol', label: 'Protocol', all: 'All protocols', options: () => protocols(page) },
      { name: 'channel', label: 'channel', chip: (key) => `in ${plain(textOf(key)) || 'the channel without a name'}` },
    ],
    sort: 'since',
    order: 'desc',
    restless: ['round_trip', 'outbox', 'rate_in', 'rate_out', 'bytes_in', 'bytes_out'],
    key: ({ session }) => session,
    open: sessionAddress,
    none: {
      text: 'Nobody is connected.',
      hint: 'Sessions appear here as programs connect. This is one: crosspoint chat --room lobby --name Ann',
    },
    columns: columns(page),
  }, query);
}

function protocols({ hub }) {
  return Object.keys(hub?.sessions_by_protocol ?? {}).sort().map((protocol) => ({ value: protocol, text: protocol }));
}

function columns(page) {
  // `most` is what is too little to be of interest.
  const figure = (title, hint, sort, kind, text, value, most = 0) => ({
    title,
    hint,
    sort,
    first: 'desc',
    class: `number ${kind}`,
    cell: textCell((item) => text(value(item)), (item) => !(value(item) > most)),
  });
  const rate = (value) => short(value, 10);
  return [
    { title: 'Session', sort: 'name', class: 'main', cell: nameCell },
    { title: 'Protocol', sort: 'protocol', class: 'spoken-column wide-2', cell: spokenCell },
    { title: 'Address', sort: 'address', class: 'address wide-3', cell: textCell(({ address }) => address ?? '–') },
    { title: 'Connected', sort: 'since', first: 'desc', class: 'number', cell: sinceCell },
    figure('Round trip', null, 'round_trip', 'wide-3', roundTrip, (item) => item.round_trip_us),
    figure('Outbox', 'what waits to be sent to the client', 'outbox', 'wide-3', bytes, (item) => item.outbox_bytes),
    figure('In/s', 'messages from the client', 'rate_in', 'tight', rate, (item) => item.messages_in_per_s, 0.05),
    figure('Out/s', 'messages to the client', 'rate_out', 'tight', rate, (item) => item.messages_out_per_s, 0.05),
    figure('Bytes in', 'from the client', 'bytes_in', 'wide-4', bytesPerSecond, (item) => item.bytes_in_per_s, 0.5),
    figure('Bytes out', 'to the client', 'bytes_out', 'wide-4', bytesPerSecond, (item) => item.bytes_out_per_s, 0.5),
    { title: '', class: 'act wide-2', cell: kickCell(page) },
  ];
}

// On small screens what the other columns say stands below the name.
function nameCell(element) {
  const who = new Who();
  const away = make('span', { class: 'mark', text: 'away', title: 'its connection is lost, and the hub waits for it' });
  const below = make('span', { class: 'below' });
  element.append(make('div', { class: 'line' }, who.element, away), below);
  return (item) => {
    who.set(item);
    setHidden(away, !item.away);
    const text = [item.protocol, item.address].filter(Boolean).join(' · ');
    if (below.textContent !== text) below.textContent = text;
  };
}

function spokenCell(element) {
  const spoken = new Spoken();
  element.append(spoken.element);
  return (item) => spoken.set(item);
}

export function sinceCell(element) {
  const since = new Since();
  element.append(since.element);
  return (item) => since.set(item.since_ms);
}

function kickCell(page) {
  return (element) => {
    let session = null;
    const button = make('button', { type: 'button', class: 'quiet', text: 'Kick', click: () => kick(page, session) });
    element.append(button);
    return (item) => {
      session = item;
      setAttribute(button, 'aria-label', `Kick ${item.name === null ? `session ${item.session}` : plain(item.name)}`);
    };
  };
}
