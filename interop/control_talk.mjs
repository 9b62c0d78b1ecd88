// Talking in a room from the control center's page.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { accessible, contrast } from './control_checks.mjs';
import { Native, answer, chat, hub, open, socketio, texts, until } from './control_world.mjs';

export const talk = {
  async talk() {
    const there = await hub();
    const ann = await chat(there, 'lobby', 'Ann');
    const web = await socketio(there, 'web', 'lobby');
    const page = await open(there, '#/talk');
    await page.getByLabel('Room').fill('lobby');
    await page.getByLabel('Your name').fill('operator');
    await page.getByRole('button', { name: 'Enter', exact: true }).click();
    await page.getByText('All others in the room hear what you say.').waitFor();
    assert.equal(new URL(page.url()).hash, '#/talk/lobby');
    await ann.heard('operator is here');
    await until(page, () => document.querySelectorAll('.here li').length === 2);
    const [there1, there2] = await texts(page, '.here li');
    assert.match(there1, /^Ann\s+[0-9a-f]{8}\s+native, 0$/);
    assert.match(there2, /^web\s+[0-9a-f]{8}\s+socketio, 1$/);

    // The browser says plain text.
    const heard = once(web, 'message');
    await page.keyboard.type('hello <b>all</b>');
    await page.keyboard.press('Enter');
    assert.equal(await ann.heard('operator: '), 'hello <b>all</b>');
    assert.deepEqual(await heard, ['hello <b>all</b>']);
    ann.say('hello from the terminal');
    const log = page.getByRole('log');
    const said = (text) => log.locator('li', { hasText: text });
    await said('hello from the terminal').waitFor();
    assert.match(await said('hello from the terminal').innerText(), /^Ann\s+\d+\s/);

    // What clients of Socket.IO say is shown as what it is.
    web.emit('EMIT_ROOM', 'lobby', 'message', 'plain words');
    web.emit('EMIT_ROOM', 'lobby', 'move', { x: 1.5, who: '<i>me</i>' }, [1, 2]);
    web.emit('EMIT_ROOM', 'lobby', 'news', 'it is "late"');
    web.emit('EMIT_ROOM', 'lobby', 'photo', 'cat.png', Buffer.alloc(3072));
    await said('photo').waitFor();
    assert.match(await said('plain words').innerText(), /^web\s+\d+\s+[\d:]+\s+plain words$/);
    assert.equal(await said('move').locator('.said').innerText(), 'move {"x":1.5,"who":"<i>me</i>"} [1,2]');
    assert.equal(await said('news').locator('.said').innerText(), 'news "it is "late""');
    assert.match(await said('photo').locator('.said').innerText(), /with 3 KiB of attachments$/);
    // Who speaks in a room without being in it is no member.
    const outside = await socketio(there, 'passer-by');
    outside.emit('EMIT_ROOM', 'lobby', 'message', 'from the street');
    await said('from the street').waitFor();
    assert.match(await said('from the street').innerText(), /^somebody outside the room\s+[\d:]+\s+from the street$/);
    assert.equal(await page.locator('.here li').count(), 2);
    // Who has no name is told by its number and id, in the list and in what it says.
    const nameless = await Native.connect(there);
    await nameless.enter('lobby');
    nameless.say(Buffer.from('guess who'));
    await said('guess who').waitFor();
    const [, number, id] = /^member (\d+), ([0-9a-f]{8})\s/.exec(await said('guess who').innerText());
    const shown = await page.locator('.here li', { hasText: 'no name' }).innerText();
    assert.match(shown, new RegExp(`^no name\\s+${id}\\s+native, ${number}$`));
    // Thousands of lines, or of characters that are shown by their numbers, keep the page busy for no time.
    for (const byte of [10, 1]) nameless.say(Buffer.concat([Buffer.from('flood'), Buffer.alloc(30_000, byte)]));
    await until(page, () => (
      [...document.querySelectorAll('.said')].filter((one) => one.innerText.includes('cut, as it has')).length === 2
    ));
    assert.ok(await log.locator('br, .unseen').count() <= 200);
    nameless.socket.destroy();
    const raw = await Native.connect(there, 'raw');
    await raw.enter('lobby');
    raw.say([0xff, 0x00, 0xfe]);
    raw.say(Buffer.from('evil \u202e text \u0007'));
    raw.say(Buffer.alloc(30_000, 'x'));
    await said('ff 00 fe').getByText('3 bytes').waitFor();
    await said('evil').waitFor();
    assert.equal(await said('evil').locator('.said').innerText(), 'evil U+202E text U+0007');

    assert.deepEqual(await page.evaluate(accessible), []);
    assert.deepEqual(await page.evaluate(contrast), []);

    // Somebody goes; what is too long is not sent; leaving and coming back.
    raw.socket.destroy();
    await page.locator('.here li', { hasText: 'raw' }).waitFor({ state: 'detached' });
    await page.getByRole('textbox', { name: 'Message' }).fill('y'.repeat(40_000));
    await page.keyboard.press('Enter');
    await page.getByText('This is too long: 40,000 bytes of at most 32,768.').waitFor();
    await page.getByRole('textbox', { name: 'Message' }).fill('');
    await page.getByRole('button', { name: 'Leave' }).click();
    await ann.heard('operator has gone');
    await page.getByRole('button', { name: 'Enter again' }).click();
    await ann.heard('operator is here');

    // It leaves on purpose when another view is opened, or another page.
    await page.getByRole('link', { name: 'Sessions' }).click();
    await ann.heard('operator has gone (left)');
    await page.goBack();
    await page.getByRole('button', { name: 'Enter', exact: true }).click();
    await ann.heard('operator is here');
    await page.goto('about:blank');
    await ann.heard('operator has gone (left)');
    await page.goto(`${there.url}/#/talk/lobby`);
    await page.getByRole('button', { name: 'Enter', exact: true }).click();
    await ann.heard('operator is here');
    const other = await open(there, '#/channels/lobby');
    await other.getByRole('button', { name: 'Close…' }).click();
    await answer(other, 'Close');
    await page.getByRole('alert').getByText('It is over: the operator of the hub has taken you out.').waitFor();
  },

  async 'talk-credentials'() {
    const there = await hub(['--access-token=let me in']);
    const page = await open(there, '#/talk');
    await page.getByLabel('Room').fill('lobby');
    await page.getByRole('button', { name: 'Enter', exact: true }).click();
    await page.getByText('The hub says: not allowed').waitFor();
    await page.getByLabel('Token', { exact: true }).fill('let me in');
    await page.keyboard.press('Enter');
    await page.getByText('You are member 0.').waitFor();

    const open2 = await hub();
    const owner = await Native.connect(open2, 'owner');
    await owner.create('vault', 'sesame');
    const second = await open(open2, '#/talk/vault');
    await second.getByLabel('Your name').fill('owner');
    await second.getByRole('button', { name: 'Enter', exact: true }).click();
    await second.getByText('Another session has this name.').waitFor();
    await second.getByLabel('Your name').fill('');
    await second.keyboard.press('Enter');
    await second.getByText('The hub says: wrong channel password').waitFor();
    await second.getByLabel('Password of the channel').fill('sesame');
    await second.keyboard.press('Enter');
    await second.getByText('Only the owner of the channel hears what you say.').waitFor();
    await second.keyboard.type('psst');
    await second.keyboard.press('Enter');
    const FROM_MEMBER = 0x34;
    assert.equal((await owner.next(FROM_MEMBER)).subarray(2).toString(), 'psst');
    await second.goto(`${open2.url}/#/talk/nowhere`);
    await second.getByRole('button', { name: 'Enter', exact: true }).click();
    await second.getByRole('button', { name: 'Create the room' }).click();
    await second.getByText('You are member 0.').waitFor();
  },
};
