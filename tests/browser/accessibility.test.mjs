// The demo page for everyone: axe-core finds nothing, in any colours and at any width; nothing moves by itself; controls are seen in forced colours.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { demoTest, eventually, EXPECT_CONNECTION_ERRORS, writeFromLaptop } from './support.mjs';

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const NARROW = { width: 390, height: 844 };

/** Less than what one line of text adds when it moves the page below it. */
const NOTICEABLE_SHIFT = 0.001;

/** Everything that axe-core finds, as text. */
async function findings(page) {
  // Through the debugger, which the page's content security policy does not bind.
  const violations = await page.evaluate(`${AXE}; axe.run(document).then(({ violations }) => violations)`);
  return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id}: ${target.join(' ')}: ${failureSummary}`));
}

/** Shows everything that the page can show: a phone that is woken, then a conflict, with records. */
async function showEverything({ page, a, b }, check) {
  await a.addRecord('editor', '{"tab_width":4,"wrap":true}');
  await b.waitForRecord('editor', '{"tab_width":4,"wrap":true}');
  await check('live');
  await a.goOffline();
  await a.part('name').fill('Ada');
  await b.part('name').fill('Grace');
  await eventually(async () => /Will be woken in \d s/.test(await a.part('due').textContent()), true);
  await check('owed');
  await eventually(() => a.part('wake').count(), 1);
  await check('woken');
  await a.goOnline();
  await a.conflict('name').waitFor();
  await check('conflict');
  await a.part('record-edit').click();
  await check('editor');
  await writeFromLaptop(page, Array.from({ length: 30 }, (_, n) => ({ key: `more.${n}`, op: 'put', value: n })));
  await a.part('more').waitFor();
  await check('many records');
}

for (const [name, options] of Object.entries({
  light: {},
  dark: { colorScheme: 'dark' },
  'forced colours': { forcedColors: 'active' },
  'dark forced colours, narrow': { forcedColors: 'active', colorScheme: 'dark', viewport: NARROW },
  narrow: { viewport: NARROW },
})) {
  demoTest(`axe-core finds nothing: ${name}`, options, async ({ page, a, b }) => {
    await showEverything({ page, a, b }, async (state) => {
      // Colours are compared when they have arrived.
      await page.evaluate(() => Promise.allSettled(document.getAnimations().map((animation) => animation.finished)));
      assert.deepEqual(await findings(page), [], state);
    });
  });
}

demoTest('a switch is seen in forced colours, and so is whether it is on', { forcedColors: 'active' }, async ({ a }) => {
  for (const id of ['online', 'notifications', 'theme-light']) {
    const { width, height } = await a.part(id).boundingBox();
    assert.ok(width >= 20 && height >= 20, `${id}: ${width} x ${height}`);
    assert.equal(await a.part(id).evaluate((input) => getComputedStyle(input).opacity), '1', id);
  }
  const off = await a.part('notifications').screenshot();
  await a.part('notifications').check();
  await eventually(async () => (await a.part('notifications').screenshot()).equals(off), false);
});

/** Sums the shifts of the page's layout from its first paint on. */
function observeShifts(page) {
  return page.addInitScript(() => {
    window.shifts = [];
    new PerformanceObserver((list) => {
      for (const { value, hadRecentInput, sources } of list.getEntries()) {
        if (!hadRecentInput) window.shifts.push({ value, of: sources.map(({ node }) => node?.className ?? node?.nodeName ?? 'text') });
      }
    }).observe({ type: 'layout-shift', buffered: true });
  });
}

for (const [name, viewport] of Object.entries({ wide: undefined, narrow: NARROW })) {
  const options = { viewport, ...EXPECT_CONNECTION_ERRORS };
  demoTest(`nothing moves while the phones connect: ${name}`, options, async ({ page, server, a, b }) => {
    await writeFromLaptop(page, [
      { key: 'theme', op: 'put', value: 'dark' },
      { key: 'name', op: 'put', value: 'Ada' },
      { key: 'editor', op: 'put', value: { wrap: true } },
    ]);
    await b.waitForTheme('dark');
    await observeShifts(page);
    // As a new visitor, whose phones have nothing yet.
    await page.evaluate(() => localStorage.clear());
    await page.reload();
    await Promise.all([a.waitForTheme('dark'), b.waitForTheme('dark')]);
    await server.kill();
    await Promise.all([a.waitForState('connecting…'), b.waitForState('connecting…')]);
    await server.start();
    await Promise.all([a.waitForState('live'), b.waitForState('live')]);
    await page.evaluate(() => new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted))));
    const shifts = await page.evaluate(() => window.shifts);
    const total = shifts.reduce((sum, { value }) => sum + value, 0);
    assert.ok(total < NOTICEABLE_SHIFT, JSON.stringify(shifts));
  });
}

demoTest('both phones are seen at once on a narrow screen', { viewport: NARROW }, async ({ page, a, b }) => {
  const [left, right] = [await a.root.boundingBox(), await b.root.boundingBox()];
  assert.equal(left.y, right.y);
  assert.ok(left.x >= 0 && left.x + left.width <= right.x && right.x + right.width <= NARROW.width);
  for (const phone of [a, b]) {
    for (const part of ['state', 'theme-dark', 'volume']) {
      const { y, height } = await phone.part(part).boundingBox();
      assert.ok(y + height <= NARROW.height, `${part} is below the first screen`);
    }
  }
  const { scroll, client } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, client: document.documentElement.clientWidth }));
  assert.equal(scroll, client);
});

demoTest('a button copies the command', {}, async ({ page }) => {
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.getByTestId('copy').click();
  await eventually(() => page.getByTestId('copied').textContent(), 'Copied');
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await page.getByTestId('command').textContent());
});

demoTest('a page that may not use the clipboard selects the command', {}, async ({ page }) => {
  await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }));
  await page.getByTestId('copy').click();
  assert.equal(await page.evaluate(() => String(getSelection())), await page.getByTestId('command').textContent());
});

demoTest('a server for this machine alone names no address for a real phone', {}, async ({ page }) => {
  assert.equal(await page.getByTestId('real-phone').count(), 0);
});

demoTest('a server for every interface shows where a real phone opens the page', { listen: '0.0.0.0:0' }, async ({ page }) => {
  const address = await page.getByTestId('real-phone').getByRole('link').getAttribute('href');
  assert.match(address, /^http:\/\/[\d.]+:\d+\/demo\/$/);
  assert.ok(!address.includes('127.0.0.1') && !address.includes('0.0.0.0'), address);
  await eventually(() => page.getByTestId('real-phone').locator('img').evaluate((image) => image.naturalWidth > 0), true);
  const response = await page.goto(address);
  assert.equal(response.status(), 200);
});
