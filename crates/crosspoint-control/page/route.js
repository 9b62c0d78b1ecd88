// Addresses inside the page: `#/sessions?search=ann&offset=50`, `#/channels/lobby`. Pure, but for `go`.

// The parts of the path, and the query. Keys of channels stay as they are in the address.
export function parse(hash) {
  const [path, query] = split(hash.replace(/^#\/?/, ''));
  const [view, ...rest] = path.split('/');
  return { view: view || 'overview', id: rest.length > 0 ? rest.join('/') : null, query: new URLSearchParams(query) };
}

function split(text) {
  const at = text.indexOf('?');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

// The address of a view, with what differs from nothing.
export function address(view, id = null, query = {}) {
  const set = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== '');
  const text = new URLSearchParams(set.map(([name, value]) => [name, String(value)])).toString();
  return `#/${view}${id === null ? '' : `/${id}`}${text === '' ? '' : `?${text}`}`;
}

// Goes to an address. With `replace` the one before is forgotten, as while somebody types a search.
export function go(hash, replace = false) {
  if (hash === location.hash) return;
  if (!replace) {
    location.hash = hash;
    return;
  }
  history.replaceState(null, '', hash);
  window.dispatchEvent(new HashChangeEvent('hashchange'));
}
