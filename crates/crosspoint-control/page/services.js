// The services that sessions provide.
import { sessionLink } from './cells.js';
import { Keyed, make, setHidden, setText } from './dom.js';
import { count, plural } from './format.js';
import { List } from './list.js';
import { Name } from './names.js';

export function servicesView(page, { query }) {
  return new List(page, {
    name: 'services',
    title: 'Services',
    one: 'service',
    many: 'services',
    search: 'Name',
    key: ({ name }) => name,
    none: {
      text: 'Nobody provides a service.',
      hint: 'A service is a name that several sessions provide. They share the calls of it.',
    },
    columns: [
      { title: 'Service', class: 'main', cell: nameCell },
      { title: 'Provided by', class: 'providers', cell: providersCell },
    ],
  }, query);
}

function nameCell(element) {
  const name = new Name();
  element.append(make('div', { class: 'line' }, name.element));
  return (item) => name.set(item.name);
}

function providersCell(element) {
  const list = make('ul', { class: 'inline' });
  const amount = make('span', { class: 'amount' });
  const more = make('span', { class: 'faint' });
  const rows = new Keyed(list, (provider) => ({ element: make('li', {}, sessionLink(provider)), update() {} }));
  element.append(amount, list, more);
  return (item) => {
    const shown = item.providers.slice(0, 12);
    setText(amount, plural(item.provider_count, 'session'));
    rows.show(shown, ({ session }) => session);
    const rest = item.provider_count - shown.length;
    setText(more, `and ${count(rest)} more`);
    setHidden(more, rest <= 0);
  };
}
