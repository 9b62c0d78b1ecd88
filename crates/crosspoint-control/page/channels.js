// All channels and rooms of the hub.
import { ChannelLink, Who, channelAddress } from './cells.js';
import { make, setAttribute, setHidden, setText } from './dom.js';
import { close } from './ending.js';
import { count, short } from './format.js';
import { List } from './list.js';
import { plain } from './names.js';
import { address } from './route.js';
import { sinceCell } from './sessions.js';
import { textCell } from './table.js';

export function channelsView(page, { query }) {
  return new List(page, {
    name: 'channels',
    title: 'Channels',
    one: 'channel',
    many: 'channels and rooms',
    search: 'Name',
    filters: [{
      name: 'kind',
      label: 'Kind',
      all: 'All kinds',
      options: () => [{ value: 'room', text: 'Rooms' }, { value: 'channel', text: 'Channels' }],
    }],
    sort: 'name',
    order: 'asc',
    restless: ['members'],
    key: ({ key }) => key,
    open: channelAddress,
    none: {
      text: 'There are no channels or rooms.',
      hint: 'Programs create channels, and rooms when they enter them.',
    },
    actions: [make('a', { class: 'button', href: address('talk'), text: 'Talk in a room…' })],
    columns: [
      { title: 'Channel', sort: 'name', class: 'main', cell: nameCell },
      { title: 'Kind', class: 'kind wide-2', cell: textCell(kindOf) },
      { title: 'Owner', class: 'owner wide-2', cell: ownerCell },
      { title: 'Members', sort: 'members', first: 'desc', class: 'number', cell: membersCell },
      { title: 'Exists for', sort: 'since', first: 'desc', class: 'number', cell: sinceCell },
      { title: '', class: 'act two wide-2', cell: actionsCell(page) },
    ],
  }, query);
}

export function kindOf({ room, declared, mode }) {
  const kind = room ? (declared ? 'declared room' : 'room') : 'channel';
  return mode === 'raw' ? `${kind}, raw` : kind;
}

function nameCell(element) {
  const link = new ChannelLink();
  const below = make('span', { class: 'below' });
  element.append(make('div', { class: 'line' }, link.element), below);
  return (item) => {
    link.set(item);
    setText(below, kindOf(item));
  };
}

function ownerCell(element) {
  const who = new Who();
  const hub = make('span', { class: 'faint', text: 'the hub' });
  element.append(who.element, hub);
  return ({ owner }) => {
    setHidden(who.element, owner === null);
    setHidden(hub, owner !== null);
    if (owner !== null) who.set(owner);
  };
}

function membersCell(element) {
  const most = make('span', { class: 'faint most' });
  const here = make('span');
  element.append(here, most);
  return (item) => {
    setText(here, count(item.members));
    setText(most, ` / ${short(item.members_max, 10)}`);
  };
}

function actionsCell(page) {
  return (element) => {
    let channel = null;
    const talk = make('a', { class: 'quiet button', text: 'Talk' });
    const end = make('button', { type: 'button', class: 'quiet', click: () => close(page, channel) });
    element.append(talk, end);
    return (item) => {
      channel = item;
      setAttribute(talk, 'href', address('talk', item.key));
      setAttribute(talk, 'aria-label', `Talk in ${plain(item.name)}`);
      setText(end, item.declared ? 'Empty' : 'Close');
      setAttribute(end, 'aria-label', `${item.declared ? 'Empty' : 'Close'} ${plain(item.name)}`);
    };
  };
}
