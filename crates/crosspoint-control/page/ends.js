// The sessions that have ended last, and why.
import { Reason, Who } from './cells.js';
import { make, setHidden, setText } from './dom.js';
import { clock, duration, words } from './format.js';
import { List } from './list.js';
import { textCell } from './table.js';

// The hub remembers no more, of those that were let in and of the others.
const MOST = 256 + 64;

export function endsView(page, { query }) {
  return new List(page, {
    name: 'ends',
    title: 'Recent ends',
    one: 'end',
    many: 'ends',
    search: 'Name, id, address or number',
    filters: [
      { name: 'reason', label: 'Reason', all: 'All reasons', options: () => reasons(page) },
      { name: 'let_in', label: 'Let in', all: 'Let in or not', options: () => LET_IN },
    ],
    paged: false,
    limit: MOST,
    key: ({ session }) => session,
    none: {
      text: 'No session has ended yet.',
      hint: 'The hub remembers the last 256 that were let in, and the last 64 that were not.',
    },
    columns: [
      { title: 'Ended', class: 'time', cell: textCell(({ ended_at_ms: at }) => clock(at)) },
      { title: 'Session', class: 'main', cell: nameCell },
      { title: 'Protocol', class: 'kind wide-2', cell: textCell(({ protocol }) => protocol) },
      { title: 'Address', class: 'address wide-3', cell: textCell(({ address }) => address ?? '–') },
      { title: 'Reason', class: 'why', cell: reasonCell },
      { title: 'Lasted', class: 'number wide-2', cell: textCell(({ lasted_ms: lasted }) => duration(lasted)) },
    ],
  }, query);
}

const LET_IN = [{ value: 'yes', text: 'Let in' }, { value: 'no', text: 'Not let in' }];

function reasons({ hub }) {
  return Object.keys(hub?.closed ?? {}).sort().map((reason) => ({ value: reason, text: words(reason) }));
}

function nameCell(element) {
  const who = new Who('span');
  const kept = make('span', { class: 'mark', text: 'not let in' });
  const below = make('span', { class: 'below' });
  element.append(make('div', { class: 'line' }, who.element, kept), below);
  return (item) => {
    who.set(item);
    setHidden(kept, item.let_in);
    setText(below, [item.protocol, item.address, duration(item.lasted_ms)].filter(Boolean).join(' · '));
  };
}

function reasonCell(element) {
  const reason = new Reason();
  const text = make('span', { class: 'text' });
  element.append(reason.element, text);
  return (item) => {
    reason.set(item.reason, item.text);
    // What the word says already is not said again.
    setText(text, item.text === words(item.reason) ? '' : item.text);
  };
}
