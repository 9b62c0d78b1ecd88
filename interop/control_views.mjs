// The views of the control center's page, and what can be done in them.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { covered } from './control_checks.mjs';
import { Native, answer, hub, open, question, row, socketio, texts, told, until } from './control_world.mjs';

export const views = {
  async overview() {
    const there = await hub(['--name', 'north']);
    const ann = await Native.connect(there, 'ann');
    await ann.enter('lobby');
    await socketio(there, 'web', 'lobby');
    const page = await open(there);
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    await until(page, () => document.querySelector('#hub-name').textContent === 'north');
    assert.match(await page.title(), /^Overview · north · Crosspoint$/);
    const figure = (name) => page.locator('.facts div', { hasText: name }).locator('dd').innerText();
    assert.equal(await figure('Rooms'), '1');
    assert.equal(await figure('Members'), '2');
    const protocols = await texts(page, '.panel:has(h2:text("Sessions by protocol")) li');
    assert.deepEqual(protocols.sort(), ['native\n1', 'socketio\n1']);
    // The graphs go on, second by second.
    const line = () => page.locator('.chart path.line').first().getAttribute('d');
    await until(page, () => document.querySelector('.chart path.line')?.getAttribute('d')?.split('L').length > 2);
    const before = await line();
    await until(page, (old) => document.querySelector('.chart path.line').getAttribute('d') !== old, before);
    await page.locator('.chart .plot').nth(1).hover();
    assert.match(await page.locator('.chart .tip').nth(1).innerText(), /^\d\d:\d\d:\d\d\nfrom clients .+\nto clients/);
    await page.getByLabel('2 min').check();
    await until(page, () => document.querySelector('.times')?.textContent.startsWith('2 min ago'));
    // A session that ends is shown at once, with its reason.
    ann.socket.destroy();
    await page.locator('.last-ends li', { hasText: 'ann' }).getByText('connection lost').waitFor();
    await page.getByRole('link', { name: 'connection lost' }).click();
    await until(page, () => location.hash === '#/ends?reason=connection_lost');
    await row(page, 'ann').waitFor();

    // Who is not let in is not among the last ends, and is found by the link with what it wished to be called.
    await Native.connect(there, 'bob');
    await socketio(there, 'bob');
    await page.getByRole('link', { name: 'Overview' }).click();
    await page.getByRole('link', { name: 'name taken' }).click();
    await until(page, () => location.hash === '#/ends?reason=name_taken');
    assert.match(await row(page, 'bob').innerText(), /bob\s+not let in\s+socketio\s+127\.0\.0\.1\s+name taken/);
    await page.getByRole('link', { name: 'Overview' }).click();
    await page.locator('.last-ends li', { hasText: 'ann' }).waitFor();
    assert.equal(await page.locator('.last-ends li').count(), 1);
  },

  async sessions() {
    const there = await hub();
    const ann = await Native.connect(there, 'ann');
    await ann.enter('lobby');
    await ann.create('own');
    await ann.provide('math');
    await Native.connect(there);
    await socketio(there, 'web', 'lobby');
    await socketio(there, 'poll', undefined, ['polling']);
    const page = await open(there, '#/sessions');
    await until(page, () => document.querySelectorAll('tbody tr').length === 4);
    assert.match(await row(page, 'ann').innerText(), /native\s+tcp\s+127\.0\.0\.1\s/);
    assert.match(await row(page, 'web').innerText(), /socketio\s+websocket/);
    assert.match(await row(page, 'poll').innerText(), /socketio\s+polling/);
    assert.equal(await row(page, 'no name').count(), 1);

    // Titles sort, and the address keeps it.
    const first = () => page.locator('tbody tr .who .name').first().innerText();
    await page.getByRole('button', { name: 'Session', exact: true }).click();
    await until(page, () => document.querySelector('tbody .name')?.textContent === 'ann');
    assert.equal(await page.locator('th[aria-sort]').getAttribute('aria-sort'), 'ascending');
    await page.getByRole('button', { name: 'Session', exact: true }).click();
    await until(page, () => location.hash.includes('order=desc'));
    await until(page, () => (document.querySelector('tbody .name')?.textContent ?? 'ann') !== 'ann');
    assert.equal(await page.locator('th[aria-sort]').getAttribute('aria-sort'), 'descending');
    await page.reload();
    await row(page, 'ann').waitFor();
    assert.notEqual(await first(), 'ann');

    // A slash leads to the search, which narrows the list while one types.
    await page.keyboard.press('/');
    await page.keyboard.type('WE');
    await until(page, () => document.querySelectorAll('tbody tr').length === 1);
    assert.equal(await page.locator('.head .amount').innerText(), '1 of 4 sessions');
    await until(page, () => document.querySelector('#announce').textContent === '1 of 4 sessions');
    await page.keyboard.press('Escape');
    await until(page, () => document.querySelectorAll('tbody tr').length === 4);
    await page.keyboard.type('nobody at all');
    await page.getByText('No sessions match.').waitFor();
    await page.getByRole('button', { name: 'Show all' }).click();
    await until(page, () => document.querySelectorAll('tbody tr').length === 4);
    await page.getByLabel('Protocol').selectOption('native');
    await until(page, () => document.querySelectorAll('tbody tr').length === 2);
    assert.match(new URL(page.url()).hash, /protocol=native/);

    // A row leads to all that is known of the session.
    await row(page, 'ann').locator('.address').click();
    await page.getByRole('heading', { name: 'ann', exact: true }).waitFor();
    await until(page, () => document.querySelectorAll('.members li').length === 3);
    const lists = (await texts(page, '.members li')).map((text) => text.split(/\s+/).join(' '));
    assert.deepEqual(lists.sort(), ['lobby room, member 0', 'math', 'own owner']);
    assert.match(await page.locator('.facts').innerText(), /Peer id\s+[0-9a-f]{32}\s/);
    await until(page, () => document.querySelector('.chart path.line')?.getAttribute('d')?.startsWith('M'));
    ann.say(Buffer.from('hello'));
    await until(page, () => Number(document.querySelector('.totals tbody td')?.textContent) > 0);
    ann.socket.destroy();
    await page.getByText('This session has ended.').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Kick…' }).isDisabled(), true);
    assert.equal(await page.getByText('Connected').isVisible(), false, 'nothing goes on that has ended');
    await page.goBack();
    await until(page, () => document.querySelectorAll('tbody tr').length === 1);

    // Addresses of sessions that are not there say so.
    await page.goto(`${there.url}/#/sessions/123456789`);
    await page.getByText('There is no such session (any more).').waitFor();
  },

  async kick() {
    const there = await hub();
    const page = await open(there, '#/sessions?sort=name&order=asc');
    await page.getByText('Nobody is connected.').waitFor();
    const ann = await Native.connect(there, 'ann');
    const bob = await socketio(there, 'bob');
    await Native.connect(there, 'cid');
    const kick = page.getByRole('button', { name: 'Kick ann' });
    await kick.click();
    const asked = await page.locator(question).innerText();
    assert.match(asked, /^Kick ann\?\s+Session \d+ \(native from 127\.0\.0\.1\) is/);

    // The keyboard stays in the question, which gives it back. Nothing happens without a yes.
    const focused = () => page.evaluate(() => document.activeElement.closest('dialog, tr')?.localName);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Cancel');
    for (let pressed = 0; pressed < 4; pressed += 1) {
      await page.keyboard.press('Tab');
      assert.notEqual(await focused(), 'tr');
    }
    await page.keyboard.press('Escape');
    await page.locator(question).waitFor({ state: 'hidden' });
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'Kick ann');
    await page.keyboard.press('Enter');
    await answer(page, 'Cancel');
    assert.equal(await row(page, 'ann').count(), 1);

    await kick.click();
    await answer(page, 'Kick');
    await told(page, 'Kicked ann.');
    await row(page, 'ann').waitFor({ state: 'detached' });
    await ann.closed;
    const CLOSE = 0x03;
    assert.equal((await ann.next(CLOSE))[0], 4, 'the reason Kicked');

    const gone = once(bob, 'disconnect');
    await row(page, 'bob').getByRole('link').click();
    await page.getByRole('button', { name: 'Kick…' }).click();
    await answer(page, 'Kick');
    await gone;
    await page.getByText('This session has ended.').waitFor();

    // The keyboard goes on from somewhere after its row has gone.
    await page.goto(`${there.url}/#/sessions`);
    await page.getByRole('button', { name: 'Kick cid' }).focus();
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByText('Nobody is connected.').waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.localName), 'h1');
    await page.goto(`${there.url}/#/ends`);
    await until(page, () => document.querySelectorAll('tbody tr').length === 3);
    assert.deepEqual(new Set(await texts(page, 'td .reason')), new Set(['kicked']));
  },

  async channels() {
    const there = await hub([], { file: '[[rooms.declared]]\nname = "plaza"\n' });
    const ann = await Native.connect(there, 'ann');
    await ann.create('arena');
    const others = await Promise.all(['bob', 'cid', 'dan'].map((name) => Native.connect(there, name)));
    for (const other of others) await other.enter('arena');
    for (const other of others) await other.enter('plaza');
    await others[0].enter('a/b ?#%');
    const page = await open(there, '#/channels');
    await until(page, () => document.querySelectorAll('tbody tr').length === 3);
    assert.match(await row(page, 'arena').innerText(), /^arena\s+channel\s+ann\s+3 \/ /);
    assert.match(await row(page, 'plaza').innerText(), /^plaza\s+declared room\s+the hub\s+3 \/ /);
    await page.getByLabel('Kind').selectOption('Channels');
    await until(page, () => document.querySelectorAll('tbody tr').length === 1);
    await page.getByLabel('Kind').selectOption('All kinds');
    await page.getByRole('button', { name: 'Members', exact: true }).click();
    await until(page, () => document.querySelector('tbody tr:last-child .name')?.textContent === 'a/b ?#%');

    // A channel with its members, who come and go.
    await row(page, 'arena').getByRole('link', { name: 'arena', exact: true }).click();
    await page.getByRole('heading', { name: 'arena' }).waitFor();
    await until(page, () => document.querySelectorAll('tbody tr').length === 3);
    const members = await texts(page, 'tbody tr');
    assert.deepEqual(members.map((text) => text.split(/\s+/).slice(0, 2).join(' ')), ['0 bob', '1 cid', '2 dan']);
    others[1].socket.destroy();
    await row(page, 'cid').waitFor({ state: 'detached' });
    await page.getByRole('link', { name: 'Show as sessions' }).click();
    await until(page, () => document.querySelectorAll('tbody tr').length === 3);
    assert.equal(await page.locator('.chip').innerText(), 'in arena');
    await page.getByRole('button', { name: 'Without channel' }).click();
    await until(page, () => !location.hash.includes('channel='));
    await page.goBack();
    await page.goBack();

    await page.getByRole('button', { name: 'Close…' }).click();
    const asked = await page.locator(question).innerText();
    assert.match(asked, /^Close the channel arena\?\s+All 2 members are taken out\. Its owner is told;/);
    await answer(page, 'Close');
    await told(page, 'Closed the channel arena.');
    assert.deepEqual(await page.evaluate(covered), []);
    await page.getByText('This channel is closed.').waitFor();
    assert.match(await page.locator('.facts').innerText(), /Members\s+none/);
    assert.equal(await page.getByText('Exists for').isVisible(), false);
    const ENDED = 0x1d;
    await others[0].next(ENDED);

    // What the settings declare stays, empty.
    await page.goto(`${there.url}/#/channels`);
    await page.getByRole('button', { name: 'Empty plaza' }).click();
    await answer(page, 'Empty');
    await told(page, 'Emptied the room plaza.');
    await until(page, () => document.querySelectorAll('tbody tr').length === 2);
    await row(page, 'plaza').getByText('0 /').waitFor();

    // Names with what has a meaning in addresses.
    await row(page, 'a/b ?#%').getByRole('link', { name: 'a/b ?#%', exact: true }).click();
    await page.getByRole('heading', { name: 'a/b ?#%' }).waitFor();
    await row(page, 'bob').waitFor();
    await page.getByRole('button', { name: 'Close…' }).click();
    await answer(page, 'Close');
    await page.getByText('This channel is closed.').waitFor();
    await page.goto(`${there.url}/#/channels/nowhere`);
    await page.getByText('No channel or room has this name (any more).').waitFor();
  },

  async services() {
    const there = await hub();
    const page = await open(there, '#/services');
    await page.getByText('Nobody provides a service.').waitFor();
    const ann = await Native.connect(there, 'ann');
    await ann.provide('math');
    const bob = await Native.connect(there, 'bob');
    await bob.provide('math');
    await bob.provide('art');
    await until(page, () => document.querySelectorAll('tbody tr').length === 2);
    await row(page, 'math').getByText('2 sessions').waitFor();
    assert.deepEqual((await texts(page, 'tr:has-text("math") li .name')).sort(), ['ann', 'bob']);
    await page.getByLabel('Name').fill('ar');
    await until(page, () => document.querySelectorAll('tbody tr').length === 1);
    await row(page, 'art').getByRole('link').click();
    await page.getByRole('heading', { name: 'bob' }).waitFor();
  },

  async ends() {
    const there = await hub();
    const page = await open(there, '#/ends');
    await page.getByText('No session has ended yet.').waitFor();
    const ann = await Native.connect(there, 'ann');
    ann.socket.destroy();
    const bob = await Native.connect(there, 'bob');
    bob.socket.write(Buffer.from([0x01, 0x00]));
    await bob.closed;
    await until(page, () => document.querySelectorAll('tbody tr').length === 2);
    assert.match(await page.locator('tbody tr').first().innerText(), /bob\s+native\s+127\.0\.0\.1\s+malformed/);
    assert.match(await row(page, 'ann').innerText(), /connection lost/);
    await page.getByLabel('Reason').selectOption('malformed');
    await until(page, () => document.querySelectorAll('tbody tr').length === 1);
    await page.getByLabel('Reason').selectOption('All reasons');
    await page.getByLabel('Name, id, address or number').fill('ann');
    await until(page, () => document.querySelector('tbody tr:only-child .name')?.textContent === 'ann');
  },
};
