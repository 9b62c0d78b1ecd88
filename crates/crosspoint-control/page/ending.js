// Ends sessions and closes channels, after a question.
import { Failed, channelPath, remove } from './api.js';
import { called, plain } from './names.js';
import { shortId } from './cells.js';

// Gives true if the session is gone.
export async function kick(page, { session, id, name, protocol, address }) {
  const who = called(name, `the session ${shortId(id)}`);
  const where = address ? ` from ${address}` : '';
  const sure = await page.ask({
    title: `Kick ${who}?`,
    text: `Session ${session} (${protocol}${where}) is disconnected and leaves its channels. `
      + 'Its program may connect again.',
    yes: 'Kick',
  });
  return sure && done(page, () => remove(`sessions/${session}`), `Kicked ${who}.`, `${who} was gone already.`);
}

const OWNER = 'Its owner is told; one whose program cannot be told is disconnected. ';

// Gives true if the channel is gone, or empty if it is declared.
export async function close(page, { key, name, room, declared, members, owner }) {
  const owned = owner !== null;
  const amount = typeof members === 'object' ? members.total : members;
  const what = `the ${room ? 'room' : 'channel'} ${called(name, 'without a name')}`;
  const whom = amount === 1 ? 'Its one member is' : `All ${amount} members are`;
  const then = declared
    ? 'The settings declare this room, so it stays, empty.'
    : 'It is gone then, and its name is free.';
  const sure = await page.ask({
    title: `${declared ? 'Empty' : 'Close'} ${what}?`,
    text: `${amount === 0 ? 'It has no members.' : `${whom} taken out.`} ${owned ? OWNER : ''}${then}`,
    yes: declared ? 'Empty' : 'Close',
  });
  const told = declared ? `Emptied ${what}.` : `Closed ${what}.`;
  return sure && done(page, () => remove(channelPath(key)), told, `There is no ${plain(name)} any more.`);
}

async function done(page, act, told, gone) {
  try {
    await act();
    page.tell(told);
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    if (error.status === 401) page.access();
    if (error.status !== 404) {
      page.tell(error.message, 'bad');
      return false;
    }
    page.tell(gone);
  }
  page.refresh();
  return true;
}
