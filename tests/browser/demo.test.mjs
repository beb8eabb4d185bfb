// The demo page in a real browser against the real server: two phones of one person.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { eventually, REPOSITORY, story, terminal, writeFromLaptop } from './support.mjs';

const NARROW = { width: 390, height: 844 };

story('an edit on one phone is seen on the other', {}, async ({ a, b }) => {
  await a.part('name').fill('Ada');
  await b.holds('name', 'Ada');

  await b.chooses('dark');
  await a.wears('dark');
  await eventually(() => a.part('theme-dark').isChecked(), true);

  await b.part('notifications').check();
  await eventually(() => a.part('notifications').isChecked(), true);

  await a.part('volume').fill('73');
  await b.reads('volume-value', '73');

  await a.adds('city', 'Zürich');
  await b.has('city', '"Zürich"');
  await a.reads('unsent', '0');
  await eventually(async () => (await a.part('version').textContent()) === (await b.part('version').textContent()), true);
});

story('a record is edited and removed in the list', {}, async ({ a, b }) => {
  await a.adds('layout', '{"columns":2}');
  await b.has('layout', '{"columns":2}');

  await b.record('layout').getByTestId('record-edit').click();
  await b.record('layout').getByTestId('record-input').fill('{"columns":3}');
  await b.record('layout').getByTestId('record-save').click();
  await a.has('layout', '{"columns":3}');

  await a.record('layout').getByTestId('record-remove').click();
  await eventually(() => b.record('layout').count(), 0);
  await b.reads('unsent', '0');
});

story('one more visit on both phones at once makes two', {}, async ({ page, a, b }) => {
  await page.getByTestId('visits-add').evaluateAll((buttons) => buttons.forEach((button) => button.click()));
  await Promise.all([a.reads('visits', '2'), b.reads('visits', '2')]);
});

story('visits that are counted offline are added to the others', {}, async ({ a, b }) => {
  await a.goOffline();
  for (let visit = 0; visit < 3; visit += 1) await a.part('visits-add').click();
  await b.part('visits-add').click();
  await a.reads('visits', '3');
  await b.reads('visits', '1');

  await a.comeBack();
  await Promise.all([a.reads('visits', '4'), b.reads('visits', '4')]);
  assert.equal(await a.part('conflict').count(), 0);
});

/** Both phones chose a theme while one was away; it is back, and its conflict is shown. */
async function disagree(a, b) {
  await a.goOffline();
  await a.chooses('dark');
  await a.reads('unsent', '1');
  await b.chooses('light');
  await b.reads('unsent', '0');
  await a.wears('dark');

  await a.comeBack();
  await a.conflict('theme').waitFor();
  assert.equal(await a.part('mine').textContent(), '"dark"');
  assert.equal(await a.part('theirs').textContent(), '"light"');
  assert.match(await a.conflict('theme').textContent(), /From Phone B/);
  assert.equal(await b.part('conflict').count(), 0);
}

story('both edit while one is offline: keep mine wins on both', {}, async ({ a, b }) => {
  await disagree(a, b);
  await a.part('keep-mine').click();
  await Promise.all([a.wears('dark'), b.wears('dark')]);
  await Promise.all([a.reads('unsent', '0'), b.reads('unsent', '0')]);
  assert.equal(await a.part('conflict').count(), 0);
});

story('both edit while one is offline: take theirs wins on both', {}, async ({ a, b }) => {
  await disagree(a, b);
  await a.part('take-theirs').click();
  await eventually(() => a.part('conflict').count(), 0);
  await Promise.all([a.wears('light'), b.wears('light')]);
  await a.reads('unsent', '0');
});

story('both edit while both are offline: the later one is asked', {}, async ({ a, b }) => {
  await a.adds('lamp', '"off"');
  await b.has('lamp', '"off"');
  await a.goOffline();
  await b.goOffline();
  await a.record('lamp').getByTestId('record-remove').click();
  await b.adds('lamp', '"on"');

  await a.comeBack();
  await a.reads('unsent', '0');
  await b.comeBack();
  await b.conflict('lamp').waitFor();
  assert.equal(await b.part('theirs').textContent(), 'removed');
  await b.part('keep-mine').click();
  await Promise.all([a.has('lamp', '"on"'), b.has('lamp', '"on"')]);
});

story('unsent writes survive a reload while offline', {}, async ({ page, a, b }) => {
  await a.part('volume').fill('20');
  await b.reads('volume-value', '20');
  await a.goOffline();
  await a.part('name').fill('Grace');
  await a.part('visits-add').click();
  await a.reads('unsent', '2');

  await page.reload();
  await Promise.all([a.is('offline'), b.is('live')]);
  await a.reads('unsent', '2');
  await a.holds('name', 'Grace');
  await a.reads('visits', '1');
  await a.reads('volume-value', '20');
  await b.holds('name', '');

  await a.comeBack();
  await b.holds('name', 'Grace');
  await b.reads('visits', '1');
  await a.reads('unsent', '0');
});

story('an open conflict survives a reload', {}, async ({ page, a, b }) => {
  await disagree(a, b);
  await page.reload();
  await a.is('live');
  await a.conflict('theme').waitFor();
  await a.part('keep-mine').click();
  await b.wears('dark');
});

const OUTAGE = { expectedErrors: /ERR_CONNECTION_REFUSED|WebSocket connection to .* failed/ };

story('the server is killed and started again: both phones come back by themselves', OUTAGE, async ({ server, a, b }) => {
  await a.part('name').fill('before');
  await b.holds('name', 'before');

  await server.kill();
  await Promise.all([a.is('connecting…'), b.is('connecting…')]);
  await a.part('name').fill('after');
  await a.part('visits-add').click();
  await b.part('visits-add').click();
  await b.part('visits-add').click();

  await server.start();
  await Promise.all([a.is('live'), b.is('live')]);
  await Promise.all([a.reads('visits', '3'), b.reads('visits', '3')]);
  await b.holds('name', 'after');
  await Promise.all([a.reads('unsent', '0'), b.reads('unsent', '0')]);
});

story('a hostile value is only text', {}, async ({ page, a, b }) => {
  const hostile = '<img src=x onerror="window.stolen=true">';
  await a.adds(hostile, hostile);
  await b.has(hostile, JSON.stringify(hostile));
  await a.part('name').fill(hostile);
  await b.holds('name', hostile);
  await writeFromLaptop(page, [{ key: 'theme', op: 'put', value: hostile }, { key: 'visits', op: 'put', value: hostile }]);
  await eventually(() => b.root.locator('[data-key="theme"] .origin').textContent(), `is ${JSON.stringify(hostile)}`);
  await eventually(() => b.root.locator('[data-key="visits"] .origin').textContent(), `is ${JSON.stringify(hostile)}`);

  assert.equal(await page.locator('main img').count(), 0);
  assert.equal(await page.evaluate(() => window.stolen), undefined);
});

story('the command in the header joins in from a terminal', {}, async ({ page, a, b }) => {
  await terminal(await page.getByTestId('command').textContent());
  await Promise.all([a.wears('dark'), b.wears('dark')]);
  await eventually(async () => /from laptop: theme$/.test(await a.part('events').locator('li').first().textContent()), true);
});

/** A token of the demo pool that is on its last seconds: it has expired, all but the rest of the leeway. */
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

story('a session outlives its token: a fresh one is shown in time', {}, async ({ page, a, b }) => {
  const short_s = 6;
  const token = await tokenAcceptedFor(short_s);
  const expired_ms = Date.now() + (short_s + 1) * 1000;
  let asked = 0;
  await page.route('**/demo/token?*', (route) => {
    asked += 1;
    return asked <= 2 ? route.fulfill({ json: { token, expires_in_s: short_s } }) : route.continue();
  });
  await page.reload();
  await Promise.all([a.is('live'), b.is('live')]);

  await eventually(() => asked, 4);
  await eventually(() => Date.now() > expired_ms, true);
  await a.part('visits-add').click();
  await b.reads('visits', '1');
  assert.equal(asked, 4);
  for (const phone of [a, b]) assert.doesNotMatch(await phone.part('events').textContent(), /trying again/);
});

story('a thousand records arrive, are filtered, and only some are in the page', {}, async ({ page, a, b }) => {
  const changes = Array.from({ length: 1000 }, (_, n) => ({ key: `browser.preference.${n}`, op: 'put', value: { n } }));
  await writeFromLaptop(page, changes);
  await Promise.all([a.reads('count', '1,000'), b.reads('count', '1,000')]);
  assert.equal(await a.part('record').count(), 25);
  await a.part('more').click();
  await eventually(() => a.part('record').count(), 50);

  await a.part('filter').fill('preference.777');
  await eventually(() => a.part('record').count(), 1);
  await a.part('name').fill('still quick');
  await b.holds('name', 'still quick');
});

story('it fits a narrow screen', { viewport: NARROW }, async ({ page, a, b }) => {
  await disagree(a, b);
  await a.adds('a.key.without.any.space.that.is.longer.than.a.phone.is.wide.and.goes.on', `"${'long'.repeat(200)}"`);
  await a.record('a.key.without.any.space.that.is.longer.than.a.phone.is.wide.and.goes.on').waitFor();
  const { scroll, client } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, client: document.documentElement.clientWidth }));
  assert.equal(scroll, client);
  const [above, below] = [await a.root.boundingBox(), await b.root.boundingBox()];
  assert.ok(above.y + above.height <= below.y, 'the phones are stacked');
  assert.ok(above.x >= 0 && above.x + above.width <= NARROW.width);
});

if (process.env.UPDATE_SCREENSHOTS) {
  story('the picture of the documentation', {}, async ({ page, a, b }) => {
    await a.part('name').fill('Ada');
    await a.part('volume').fill('70');
    await b.part('notifications').check();
    await b.adds('language', 'en');
    await b.adds('editor', '{"tab_width":4,"wrap":true}');
    for (let visit = 0; visit < 3; visit += 1) await a.part('visits-add').click();
    await b.reads('visits', '3');
    await writeFromLaptop(page, [{ key: 'wallpaper', op: 'put', value: 'dunes.jpg' }]);
    await a.has('wallpaper', '"dunes.jpg"');
    await disagree(a, b);
    await page.getByTestId('command').evaluate((command) => (command.textContent = command.textContent.replace(/ --url .*/, '')));
    await page.screenshot({ path: path.join(REPOSITORY, 'docs/demo.png'), animations: 'disabled', fullPage: true });
  });
}

story('a phone that sleeps is woken by a push that says that something is new, and not what', {}, async ({ a, b }) => {
  await a.adds('city', 'Zürich');
  await b.has('city', '"Zürich"');
  await a.goOffline();
  await eventually(() => a.part('wakes').isVisible(), true);
  await b.part('visits-add').click();
  await b.part('visits-add').click();
  const wake = a.part('wake');
  await eventually(() => wake.count(), 1);
  const version = await b.part('version').textContent();
  assert.match(await wake.textContent(), new RegExp(`Something new in settings: version ${version}$`));
  assert.equal(await a.part('visits').textContent(), '0', 'a wake brings nothing');

  await a.part('wake-up').click();
  await a.reads('visits', '2');
  await eventually(() => a.part('wakes').isVisible(), false);
  assert.equal(await b.part('wakes').isVisible(), false, 'whoever wrote is not woken');
});
