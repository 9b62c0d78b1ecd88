// The format of Server-Sent Events, as far as the hub writes it. Pure.

export class Events {
  #rest = '';

  // The events that a piece of the stream completes, as `{ name, data }`. Comments are none.
  read(piece) {
    const blocks = (this.#rest + piece).split('\n\n');
    this.#rest = blocks.pop();
    return blocks.map(event).filter(({ data }) => data !== '');
  }
}

function event(block) {
  let name = 'message';
  const data = [];
  for (const line of block.split('\n')) {
    if (line.startsWith('event:')) name = line.slice(6).trim();
    else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''));
  }
  return { name, data: data.join('\n') };
}
