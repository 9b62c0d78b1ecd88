// The control center's page under all conditions: strangers, many sessions, hubs that go away, hostile names, small
// screens, and people who see or hear it in other ways.
import assert from 'node:assert/strict';
import { accessible, contrast, covered, modules, overflowing } from './control_checks.mjs';
import { Native, answer, hub, open, question, row, socketio, texts, told, until } from './control_world.mjs';

const lists = ['#/overview', '#/sessions', '#/channels', '#/services', '#/ends'];

export const conditions = {
  async 'sign-in'() {
    const token = 'a-token-for-operators';
    const there = await hub(['--control-access=token', `--control-token=${token}`]);
    const page = await open(there, '#/sessions', { expected: ['status of 401'] });
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.getByText('in the file that control.token_file names').waitFor();
    assert.equal(await page.locator('nav[aria-label=Views]').isVisible(), false);
    const field = page.getByLabel('Token of the operator');
    await until(page, () => document.activeElement.id === 'token');
    await page.keyboard.type('not-the-token-of-operators');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText('This is not the token of the operator.').waitFor();
    assert.equal(await field.getAttribute('type'), 'password');
    assert.deepEqual(await page.evaluate(accessible), []);
    assert.deepEqual(await page.evaluate(contrast), []);
    await page.getByLabel('Show the token').check();
    assert.equal(await field.getAttribute('type'), 'text');
    await field.fill(token);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('Nobody is connected.').waitFor();
    await Native.connect(there, 'ann');
    await page.getByRole('button', { name: 'Kick ann' }).click();
    await answer(page, 'Kick');
    await told(page, 'Kicked ann.');
    await page.reload();
    await page.getByText('Nobody is connected.').waitFor();
    assert.deepEqual(await page.evaluate(() => [document.cookie, JSON.stringify({ ...localStorage })]), ['', '{}']);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.reload();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  },

  async many() {
    const count = 10_000;
    const there = await hub();
    for (let begun = 0; begun < count; begun += 500) {
      const some = Array.from({ length: 500 }, (_, at) => `bot-${String(begun + at).padStart(5, '0')}`);
      await Promise.all(some.map((name) => Native.connect(there, name)));
    }
    const page = await open(there, '#/sessions?sort=name&order=asc');
    await page.getByText('10,000 sessions').waitFor();
    assert.equal(await page.locator('tbody tr').count(), 50);
    await page.getByText('1–50 of 10,000').waitFor();
    await page.getByRole('button', { name: 'Next page' }).click();
    await page.getByText('51–100 of 10,000').waitFor();
    await row(page, 'bot-00050').waitFor();
    await page.getByRole('button', { name: 'Last page' }).click();
    await row(page, 'bot-09999').waitFor();
    await page.getByLabel('Rows on a page').selectOption('250 rows');
    await until(page, () => document.querySelectorAll('tbody tr').length === 250);
    await page.getByLabel('Name, id, address or number').fill('bot-0777');
    await page.locator('.amount', { hasText: '10 of 10,000 sessions' }).waitFor();
    await row(page, 'bot-07773').waitFor();
    // A second in the life of the page costs little, with all of the rows there are on one.
    await page.goto(`${there.url}/#/sessions?sort=since&limit=250`);
    await until(page, () => document.querySelectorAll('tbody tr').length === 250);
    const session = await page.context().newCDPSession(page);
    await session.send('Performance.enable');
    const busy = async () => {
      const { metrics } = await session.send('Performance.getMetrics');
      return metrics.find(({ name }) => name === 'TaskDuration').value;
    };
    const seconds = 3;
    const start = await busy();
    const since = Date.now();
    await until(page, (end) => Date.now() >= end, since + seconds * 1000);
    const share = (await busy() - start) / seconds;
    assert.ok(share < 0.5, `the page is busy for ${share} of the time`);
  },

  async gone() {
    const there = await hub();
    await Native.connect(there, 'ann');
    const page = await open(there, '#/sessions', { expected: ['ERR_CONNECTION', 'ERR_INCOMPLETE', 'ERR_EMPTY'] });
    await row(page, 'ann').waitFor();
    await there.stop();
    const banner = page.locator('#banner');
    await banner.getByText('The hub does not answer. What you see is old.').waitFor();
    await page.locator('#state', { hasText: 'No connection' }).waitFor();
    await banner.getByText(/Next try in \d+ s\./).waitFor();
    assert.deepEqual(await page.evaluate(contrast), []);
    assert.equal(await row(page, 'ann').count(), 1, 'what was known stays');
    await page.getByRole('link', { name: 'Overview' }).click();
    await page.getByRole('link', { name: /^Sessions/ }).click();
    const back = await hub([], { port: there.port });
    // The page may have tried again by itself meanwhile, and hidden the button.
    await banner.getByText('Try now').evaluate((button) => button.click());
    await Native.connect(back, 'bob');
    await row(page, 'bob').waitFor();
    await banner.waitFor({ state: 'hidden' });
    assert.equal(await row(page, 'ann').count(), 0);
    await page.locator('#state', { hasText: 'Live' }).waitFor();

    // One that does not even refuse is noticed too, and is found again without anybody's help.
    back.signal('SIGSTOP');
    await banner.getByText('The hub does not answer.').waitFor();
    back.signal('SIGCONT');
    await banner.waitFor({ state: 'hidden' });

    // Nothing moves while the page is told to pause.
    await page.locator('#state').click();
    await page.locator('#state', { hasText: 'Paused' }).waitFor();
    await Native.connect(back, 'cid');
    assert.equal(await row(page, 'cid').count(), 0);
    await page.locator('#state').click();
    await row(page, 'cid').waitFor();
  },

  // A hub that was replaced by a newer one has a newer page.
  async upgrade() {
    const there = await hub();
    const page = await open(there);
    await page.addInitScript(() => {
      const ask = window.fetch;
      const newer = (text, out) => out.enqueue(text.replace(/"version":"[^"]+"/, '"version":"9.9.9"'));
      window.fetch = async (path, ...rest) => {
        const answer = await ask(path, ...rest);
        if (!window.upgraded || !path.includes('/events')) return answer;
        const text = answer.body.pipeThrough(new TextDecoderStream());
        const changed = text.pipeThrough(new TransformStream({ transform: newer }));
        return new Response(changed.pipeThrough(new TextEncoderStream()), answer);
      };
    });
    await page.reload();
    await page.locator('#state', { hasText: 'Live' }).waitFor();
    await page.evaluate(() => {
      window.upgraded = true;
    });
    await page.getByRole('link', { name: 'Ends', exact: true }).click();
    const banner = page.locator('#banner');
    await banner.getByText('The hub has another version now than this page.').waitFor();
    await until(page, () => document.querySelector('#version').textContent === '9.9.9');
    await banner.getByRole('button', { name: 'Reload' }).click();
    await page.getByText('No session has ended yet.').waitFor();
    assert.equal(await banner.isVisible(), false);
  },

  async names() {
    const there = await hub();
    const names = [
      '<img src=x onerror="window.harmed=1">',
      '<script>window.harmed=1</script>',
      '\u202egnp.exe',
      'line\nbreak\u0000\u001b[31m',
      'שלום עולם',
      'x'.repeat(255),
      '   ',
      'a\u200bb',
      '\u3164',
      'Ann\u{e0100}',
      '"><b>',
      '👩\u200d💻',
    ];
    for (const name of names) {
      const client = await Native.connect(there, name);
      await client.enter(name);
    }
    const first = await Native.connect(there, 'bytes');
    await first.enter(Buffer.from([0xff, 0xfe, 0x00, 0x2f]));
    await first.enter('..');
    await first.enter('');
    const page = await open(there, '#/sessions');
    await until(page, (count) => document.querySelectorAll('tbody tr').length === count, names.length + 1);
    const shown = await texts(page, 'tbody .name');
    const close = (text) => text.replaceAll(/\s/g, '');
    const unseen = ['U+202Egnp.exe', 'lineU+000AbreakU+0000U+001B[31m', 'aU+200Bb', 'U+3164', 'AnnU+E0100'];
    for (const name of [names[0], names[1], names[4], names[10], names[11], ...unseen]) {
      assert.ok(shown.map(close).includes(close(name)), name);
    }
    const wide = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.equal(await wide(), 0);
    // Nothing of it is read as HTML, and what goes from right to left changes nothing around it.
    assert.equal(await page.evaluate(() => document.querySelectorAll('main img, main script, main b').length), 0);
    const hebrew = row(page, 'שלום').locator('.name');
    const direction = await hebrew.evaluate((element) => getComputedStyle(element).unicodeBidi);
    assert.equal(direction, 'isolate');
    await page.goto(`${there.url}/#/channels`);
    await until(page, (count) => document.querySelectorAll('tbody tr').length === count, names.length + 3);
    for (const name of ['..', 'empty name']) {
      await page.locator('tbody .who', { hasText: name }).first().click();
      await page.getByRole('heading', { name }).waitFor();
      await row(page, 'bytes').waitFor();
      await page.getByRole('link', { name: 'Talk' }).click();
      await page.getByRole('button', { name: 'Enter', exact: true }).click();
      await page.getByText('You are member 1.').waitFor();
      await page.goto(`${there.url}/#/channels`);
    }
    await page.locator('tbody .who', { hasText: '�' }).click();
    await row(page, 'bytes').waitFor();
    await page.getByRole('button', { name: 'Close…' }).click();
    assert.match(await page.locator(question).innerText(), /^Close the room ��\[U\+0000\]\/\?/);
    await answer(page, 'Close');
    await page.getByText('This channel is closed.').waitFor();
    for (const hash of ['#/overview', '#/ends', '#/services']) {
      await page.goto(`${there.url}/${hash}`);
      await page.locator('.view:not([aria-busy])').waitFor();
    }
    assert.equal(await page.evaluate(() => window.harmed), undefined);
  },

  async phone() {
    const there = await hub();
    const names = ['ann', 'x'.repeat(200), 'a name of several words that is rather long for a small screen'];
    for (const name of names) {
      const client = await Native.connect(there, name);
      await client.enter(name);
      await client.provide(name);
    }
    const gone = await Native.connect(there, names[1].slice(1));
    gone.socket.destroy();
    await socketio(there, 'web', 'ann', ['websocket']);
    const page = await open(there, '#/sessions?sort=name&order=asc', { width: 360, height: 740, scheme: 'dark' });
    // The longest words for a protocol and what carries it.
    await row(page, 'web').getByRole('link').click();
    await page.getByText('websocket').waitFor();
    const detail = new URL(page.url()).hash;
    for (const hash of [detail, '#/channels/ann', '#/talk/ann', ...lists]) {
      await page.goto(`${there.url}/${hash}`);
      await page.locator('.view:not([aria-busy])').waitFor();
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.equal(wide, 0, `${hash} scrolls sideways`);
      assert.deepEqual(await page.evaluate(overflowing), [], hash);
      const small = await page.evaluate(() => {
        const [nav] = document.querySelectorAll('nav[aria-label=Views]');
        return Math.min(...Array.from(nav.querySelectorAll('a'), (link) => link.getBoundingClientRect().height));
      });
      assert.ok(small >= 44, 'links that a thumb hits');
    }
    // What is told covers no button here either.
    await page.goto(`${there.url}/#/channels/ann`);
    await page.getByRole('button', { name: 'Close…' }).click();
    await answer(page, 'Close');
    await told(page, 'Closed the room ann.');
    assert.deepEqual(await page.evaluate(covered), []);
    // What has no column is sorted by the list of orders.
    await page.goto(`${there.url}/#/sessions`);
    await page.getByLabel('Order').selectOption('Session ↑');
    await until(page, () => document.querySelector('tbody .name')?.textContent.startsWith('a name'));
  },

  async theme() {
    const there = await hub();
    const page = await open(there, '', { scheme: 'dark' });
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const choose = (name) => page.getByRole('radio', { name, exact: true }).check({ force: true });
    const dark = await ground();
    await choose('Light');
    const light = await ground();
    assert.notEqual(light, dark);
    await page.reload();
    assert.equal(await ground(), light, 'the choice is kept');
    await choose('System');
    assert.equal(await ground(), dark);
    await page.emulateMedia({ colorScheme: 'light' });
    assert.equal(await ground(), light);
    await choose('Dark');
    assert.equal(await ground(), dark);
  },

  async accessible() {
    const there = await hub([], { file: '[[rooms.declared]]\nname = "plaza"\n' });
    const ann = await Native.connect(there, 'ann');
    await ann.enter('lobby');
    await ann.provide('math');
    const bob = await Native.connect(there, 'bob');
    bob.socket.write(Buffer.from([0x01, 0x00]));
    await bob.closed;
    for (const scheme of ['light', 'dark']) {
      const page = await open(there, '#/sessions', { scheme });
      await row(page, 'ann').getByRole('link').click();
      await page.getByRole('heading', { name: 'ann', exact: true }).waitFor();
      const detail = new URL(page.url()).hash;
      for (const hash of [detail, '#/channels/lobby', '#/talk/lobby', ...lists]) {
        await page.goto(`${there.url}/${hash}`);
        await page.locator('.view:not([aria-busy])').waitFor();
        assert.deepEqual(await page.evaluate(accessible), [], hash);
        assert.deepEqual(await page.evaluate(contrast), [], `${hash} ${scheme}`);
      }
      // The first stop of the keyboard is the way past the views.
      await page.goto(`${there.url}/#/sessions`);
      await page.reload();
      await row(page, 'ann').waitFor();
      await page.keyboard.press('Tab');
      assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content');
      await page.keyboard.press('Enter');
      assert.deepEqual(await page.evaluate(() => [document.activeElement.id, location.hash]), ['main', '#/sessions']);
      await page.getByRole('button', { name: 'Kick ann' }).click();
      assert.deepEqual(await page.evaluate(contrast), [], `the question, ${scheme}`);
      await page.keyboard.press('Escape');
    }
  },

  // Nothing moves by itself while a view fills and lives.
  async still() {
    const there = await hub();
    for (const name of ['ann', 'bob', 'cid']) {
      const client = await Native.connect(there, name);
      await client.enter('lobby');
    }
    const page = await open(there);
    for (const hash of ['#/overview', '#/sessions', '#/channels', '#/channels/lobby']) {
      await page.goto(`${there.url}/${hash}`);
      await page.reload();
      await page.locator('.view:not([aria-busy])').waitFor();
      const shifted = await page.evaluate(() => new Promise((resolve) => {
        let sum = 0;
        new PerformanceObserver((list) => {
          for (const { value } of list.getEntries()) sum += value;
        }).observe({ type: 'layout-shift', buffered: true });
        // Two further figures of the hub.
        const changed = new MutationObserver(() => {
          left -= 1;
          if (left === 0) requestAnimationFrame(() => resolve(sum));
        });
        let left = 2;
        const all = { subtree: true, childList: true, characterData: true, attributes: true };
        changed.observe(document.querySelector('main'), all);
      }));
      assert.ok(shifted < 0.02, `${hash} moves by ${shifted}`);
    }
  },

  async modules() {
    const page = await open(await hub());
    assert.deepEqual(await page.evaluate(modules), []);
  },
};
