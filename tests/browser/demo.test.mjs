// The demo page in a real browser against the real server: two devices of one person.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { eventually, EXPECT_CONNECTION_ERRORS, REPOSITORY, demoTest, runCommand, writeFromLaptop } from './support.mjs';

const NARROW = { width: 390, height: 844 };

demoTest('an edit on one phone is seen on the other', {}, async ({ a, b }) => {
  await a.part('name').fill('Ada');
  await b.waitForInput('name', 'Ada');

  await b.chooseTheme('dark');
  await a.waitForTheme('dark');
  await eventually(() => a.part('theme-dark').isChecked(), true);

  await b.part('notifications').check();
  await eventually(() => a.part('notifications').isChecked(), true);

  await a.part('volume').fill('73');
  await b.waitForText('volume-value', '73');

  await a.addRecord('city', 'Zürich');
  await b.waitForRecord('city', '"Zürich"');
  await a.waitForText('unsent', '0');
  await eventually(async () => (await a.part('version').textContent()) === (await b.part('version').textContent()), true);
});

demoTest('a record is edited and removed in the list', {}, async ({ a, b }) => {
  await a.addRecord('layout', '{"columns":2}');
  await b.waitForRecord('layout', '{"columns":2}');

  await b.record('layout').getByTestId('record-edit').click();
  await b.record('layout').getByTestId('record-input').fill('{"columns":3}');
  await b.record('layout').getByTestId('record-save').click();
  await a.waitForRecord('layout', '{"columns":3}');

  await a.record('layout').getByTestId('record-remove').click();
  await eventually(() => b.record('layout').count(), 0);
  await b.waitForText('unsent', '0');
});

demoTest('a visit counted on both phones at once adds two', {}, async ({ page, a, b }) => {
  await page.getByTestId('visits-add').evaluateAll((buttons) => buttons.forEach((button) => button.click()));
  await Promise.all([a.waitForText('visits', '2'), b.waitForText('visits', '2')]);
});

demoTest('visits counted offline are added to those of the other phone', {}, async ({ a, b }) => {
  await a.goOffline();
  for (let visit = 0; visit < 3; visit += 1) await a.part('visits-add').click();
  await b.part('visits-add').click();
  await a.waitForText('visits', '3');
  await b.waitForText('visits', '1');

  await a.goOnline();
  await Promise.all([a.waitForText('visits', '4'), b.waitForText('visits', '4')]);
  assert.equal(await a.part('conflict').count(), 0);
});

/** Chooses a theme on both phones while `a` is offline, and connects `a`, which then shows the conflict. */
async function makeConflict(a, b) {
  await a.goOffline();
  await a.chooseTheme('dark');
  await a.waitForText('unsent', '1');
  await b.chooseTheme('light');
  await b.waitForText('unsent', '0');
  await a.waitForTheme('dark');

  await a.goOnline();
  await a.conflict('theme').waitFor();
  assert.equal(await a.part('mine').textContent(), '"dark"');
  assert.equal(await a.part('theirs').textContent(), '"light"');
  assert.match(await a.conflict('theme').textContent(), /From Phone B/);
  assert.equal(await b.part('conflict').count(), 0);
}

demoTest('a conflict resolved with "keep mine" has this value on both phones', {}, async ({ a, b }) => {
  await makeConflict(a, b);
  await a.part('keep-mine').click();
  await Promise.all([a.waitForTheme('dark'), b.waitForTheme('dark')]);
  await Promise.all([a.waitForText('unsent', '0'), b.waitForText('unsent', '0')]);
  assert.equal(await a.part('conflict').count(), 0);
});

demoTest('a conflict resolved with "take theirs" has the other value on both phones', {}, async ({ a, b }) => {
  await makeConflict(a, b);
  await a.part('take-theirs').click();
  await eventually(() => a.part('conflict').count(), 0);
  await Promise.all([a.waitForTheme('light'), b.waitForTheme('light')]);
  await a.waitForText('unsent', '0');
});

demoTest('a narrow page shows the choice of a conflict whose key and values are long', { viewport: NARROW }, async ({ a, b }) => {
  const key = 'the-name-of-a-record-that-says-in-full-what-it-is-about';
  await a.goOffline();
  await a.addRecord(key, 'one '.repeat(60));
  await b.addRecord(key, 'two '.repeat(60));
  await b.waitForText('unsent', '0');
  await a.goOnline();
  await a.conflict(key).waitFor();
  for (const choice of ['keep-mine', 'take-theirs']) {
    const isHit = await a.part(choice).evaluate((button) => {
      const { left, right, top, bottom } = button.getBoundingClientRect();
      const notice = button.closest('.notice').getBoundingClientRect();
      const hit = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
      return notice.top <= top && bottom <= notice.bottom && hit === button;
    });
    assert.ok(isHit, `${choice} is in sight`);
  }
  await a.part('keep-mine').click();
  await eventually(() => a.part('conflict').count(), 0);
});

demoTest('of two offline edits the one that is sent later conflicts', {}, async ({ a, b }) => {
  await a.addRecord('lamp', '"off"');
  await b.waitForRecord('lamp', '"off"');
  await a.goOffline();
  await b.goOffline();
  await a.record('lamp').getByTestId('record-remove').click();
  await b.addRecord('lamp', '"on"');

  await a.goOnline();
  await a.waitForText('unsent', '0');
  await b.goOnline();
  await b.conflict('lamp').waitFor();
  assert.equal(await b.part('theirs').textContent(), 'removed');
  await b.part('keep-mine').click();
  await Promise.all([a.waitForRecord('lamp', '"on"'), b.waitForRecord('lamp', '"on"')]);
});

demoTest('unsent writes survive a reload while offline', {}, async ({ page, a, b }) => {
  await a.part('volume').fill('20');
  await b.waitForText('volume-value', '20');
  await a.goOffline();
  await a.part('name').fill('Grace');
  await a.part('visits-add').click();
  await a.waitForText('unsent', '2');

  await page.reload();
  await Promise.all([a.waitForState('offline'), b.waitForState('live')]);
  await a.waitForText('unsent', '2');
  await a.waitForInput('name', 'Grace');
  await a.waitForText('visits', '1');
  await a.waitForText('volume-value', '20');
  await b.waitForInput('name', '');

  await a.goOnline();
  await b.waitForInput('name', 'Grace');
  await b.waitForText('visits', '1');
  await a.waitForText('unsent', '0');
});

demoTest('an open conflict survives a reload', {}, async ({ page, a, b }) => {
  await makeConflict(a, b);
  await page.reload();
  await a.waitForState('live');
  await a.conflict('theme').waitFor();
  await a.part('keep-mine').click();
  await b.waitForTheme('dark');
});

demoTest('both phones reconnect by themselves after the server was killed and restarted', EXPECT_CONNECTION_ERRORS, async ({ server, a, b }) => {
  await a.part('name').fill('before');
  await b.waitForInput('name', 'before');

  await server.kill();
  await Promise.all([a.waitForState('connecting…'), b.waitForState('connecting…')]);
  await a.part('name').fill('after');
  await a.part('visits-add').click();
  await b.part('visits-add').click();
  await b.part('visits-add').click();

  await server.start();
  await Promise.all([a.waitForState('live'), b.waitForState('live')]);
  await Promise.all([a.waitForText('visits', '3'), b.waitForText('visits', '3')]);
  await b.waitForInput('name', 'after');
  await Promise.all([a.waitForText('unsent', '0'), b.waitForText('unsent', '0')]);
});

demoTest('HTML in keys and values is shown as text', {}, async ({ page, a, b }) => {
  const hostile = '<img src=x onerror="window.stolen=true">';
  await a.addRecord(hostile, hostile);
  await b.waitForRecord(hostile, JSON.stringify(hostile));
  await a.part('name').fill(hostile);
  await b.waitForInput('name', hostile);
  await writeFromLaptop(page, [{ key: 'theme', op: 'put', value: hostile }, { key: 'visits', op: 'put', value: hostile }]);
  await eventually(() => b.root.locator('[data-key="theme"] .origin').textContent(), `is ${JSON.stringify(hostile)}`);
  await eventually(() => b.root.locator('[data-key="visits"] .origin').textContent(), `is ${JSON.stringify(hostile)}`);

  assert.equal(await page.locator('main img').count(), 0);
  assert.equal(await page.evaluate(() => window.stolen), undefined);
});

demoTest('the command in the header changes the dataset from a terminal', {}, async ({ page, a, b }) => {
  await runCommand(await page.getByTestId('command').textContent());
  await Promise.all([a.waitForTheme('dark'), b.waitForTheme('dark')]);
  await eventually(async () => /from laptop: theme$/.test(await a.part('events').locator('li').first().textContent()), true);
});

/** An expired token of the demo pool, which the server accepts for `rest_s` more seconds of its leeway. */
async function tokenAcceptedFor(rest_s) {
  const source = await readFile(new URL('../../src/auth/config.rs', import.meta.url), 'utf8');
  const secret = /DEVELOPMENT_SECRET: &str =\s*"([^"]+)"/.exec(source)[1];
  const leeway_s = Number(/LEEWAY_S: u64 = (\d+)/.exec(source)[1]);
  const now_s = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { iss: 'driftless-dev', aud: 'demo', sub: 'alice', iat: now_s - 3600, exp: now_s - leeway_s + rest_s };
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

demoTest('a page renews its token before the session expires', {}, async ({ page, a, b }) => {
  const short_s = 6;
  const token = await tokenAcceptedFor(short_s);
  const expired_ms = Date.now() + (short_s + 1) * 1000;
  let asked = 0;
  await page.route('**/demo/token?*', (route) => {
    asked += 1;
    return asked <= 2 ? route.fulfill({ json: { token, expires_in_s: short_s } }) : route.continue();
  });
  await page.reload();
  await Promise.all([a.waitForState('live'), b.waitForState('live')]);

  await eventually(() => asked, 4);
  await eventually(() => Date.now() > expired_ms, true);
  await a.part('visits-add').click();
  await b.waitForText('visits', '1');
  assert.equal(asked, 4);
  for (const phone of [a, b]) assert.doesNotMatch(await phone.part('events').textContent(), /trying again/);
});

demoTest('a thousand records are received and filtered, and the page shows one batch at a time', {}, async ({ page, a, b }) => {
  const changes = Array.from({ length: 1000 }, (_, n) => ({ key: `browser.preference.${n}`, op: 'put', value: { n } }));
  await writeFromLaptop(page, changes);
  await Promise.all([a.waitForText('count', '1,000'), b.waitForText('count', '1,000')]);
  assert.equal(await a.part('record').count(), 25);
  await a.part('more').click();
  await eventually(() => a.part('record').count(), 50);

  await a.part('filter').fill('preference.777');
  await eventually(() => a.part('record').count(), 1);
  await a.part('name').fill('still quick');
  await b.waitForInput('name', 'still quick');
});

demoTest('the page fits a narrow screen, whatever the records contain', { viewport: NARROW }, async ({ page, a, b }) => {
  await makeConflict(a, b);
  await a.addRecord('a.key.without.any.space.that.is.longer.than.a.phone.is.wide.and.goes.on', `"${'long'.repeat(200)}"`);
  await a.record('a.key.without.any.space.that.is.longer.than.a.phone.is.wide.and.goes.on').waitFor();
  const { scroll, client } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, client: document.documentElement.clientWidth }));
  assert.equal(scroll, client);
});

if (process.env.UPDATE_SCREENSHOTS) {
  demoTest('the screenshot of the documentation', {}, async ({ page, a, b }) => {
    await a.part('name').fill('Ada');
    await a.part('volume').fill('70');
    await b.part('notifications').check();
    await b.addRecord('language', 'en');
    await b.addRecord('editor', '{"tab_width":4,"wrap":true}');
    for (let visit = 0; visit < 3; visit += 1) await a.part('visits-add').click();
    await b.waitForText('visits', '3');
    await writeFromLaptop(page, [{ key: 'wallpaper', op: 'put', value: 'dunes.jpg' }]);
    await a.waitForRecord('wallpaper', '"dunes.jpg"');
    await makeConflict(a, b);
    await page.getByTestId('command').evaluate((command) => (command.textContent = command.textContent.replace(/ --url .*/, '')));
    await page.screenshot({ path: path.join(REPOSITORY, 'docs/demo.png'), animations: 'disabled', fullPage: true });
  });
}

demoTest('an offline phone receives a push without content', {}, async ({ a, b }) => {
  await a.addRecord('city', 'Zürich');
  await b.waitForRecord('city', '"Zürich"');
  await a.goOffline();
  await eventually(() => a.part('wakes').isVisible(), true);
  await b.part('visits-add').click();
  await b.part('visits-add').click();
  await eventually(async () => /Will be woken in [123] s/.test(await a.part('due').textContent()), true);
  const wake = a.part('wake');
  await eventually(() => wake.count(), 1);
  const version = await b.part('version').textContent();
  assert.match(await wake.textContent(), new RegExp(`Something new in settings: version ${version}$`));
  assert.equal(await a.part('visits').textContent(), '0', 'a wake has no content');

  await a.part('wake-up').click();
  await a.waitForText('visits', '2');
  await eventually(() => a.part('wakes').isVisible(), false);
  assert.equal(await b.part('wakes').isVisible(), false, 'the writer is not woken');
});
