// Helpers of the browser tests: a real server on its own folder, a real browser, and the two phones of the demo page.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import test, { after, before } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';

export const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

const SERVER = process.env.TEST_BIN ?? path.join(REPOSITORY, 'target/debug/driftless');
const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run']
  .concat(['--disable-background-networking', '--disable-component-update', '--disable-sync']);

/** A condition is checked this often, and must hold within the timeout. */
const POLL_INTERVAL_MS = 30;
const TIMEOUT_MS = 20_000;

/** What a browser reports when the server is killed: of a request under way, and of those after it. */
export const EXPECT_CONNECTION_ERRORS = {
  expectedErrors: /ERR_(CONNECTION_(REFUSED|RESET|CLOSED|ABORTED)|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED)|WebSocket connection to .* failed/,
};

let browser;
before(async () => (browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS })));
after(() => browser?.close());

/** A new browser profile, without cookies and storage. */
export const newContext = (options) => browser.newContext(options);

/** A test with a server, a page and its phones `a` and `b`, both live. It fails if the browser reports an error that is not expected. */
export function demoTest(name, { viewport, colorScheme = 'light', forcedColors = 'none', listen, expectedErrors = /^$/ }, body) {
  test(name, { timeout: 120_000 }, async (t) => {
    const server = new Server(await mkdtemp(path.join(tmpdir(), 'driftless-demo-')), listen);
    const context = await browser.newContext({ viewport: viewport ?? { width: 1280, height: 800 }, colorScheme, forcedColors });
    try {
      const page = await context.newPage();
      page.setDefaultTimeout(TIMEOUT_MS);
      const errors = errorsOf(page);
      await page.goto(await server.start());
      const [a, b] = [new Phone(page, 'a'), new Phone(page, 'b')];
      await Promise.all([a.waitForState('live'), b.waitForState('live')]);
      await body({ page, server, a, b });
      assert.deepEqual(errors.filter((text) => !expectedErrors.test(text)), []);
    } catch (error) {
      await saveScreenshot(context, t).catch(() => {});
      throw error;
    } finally {
      await context.close();
      await server.remove();
    }
  });
}

/** The errors, warnings and dialogs of a page, as they occur. */
function errorsOf(page) {
  const errors = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('dialog', (dialog) => (errors.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
  return errors;
}

async function saveScreenshot(context, t) {
  const file = path.join(tmpdir(), `driftless-demo-failed-${process.pid}.png`);
  await context.pages()[0].screenshot({ path: file, fullPage: true });
  t.diagnostic(`screenshot of the page: ${file}`);
}

/** Waits until `read()` gives `wanted`; at the timeout it throws the difference. */
export async function eventually(read, wanted) {
  const deadline = Date.now() + TIMEOUT_MS;
  for (;;) {
    const got = await read();
    try {
      return assert.deepEqual(got, wanted);
    } catch (difference) {
      if (Date.now() > deadline) throw difference;
    }
    await delay(POLL_INTERVAL_MS);
  }
}

class Server {
  constructor(folder, listen = '127.0.0.1:0') {
    this.folder = folder;
    this.listen = listen;
  }

  /** Starts the server and returns the demo page's URL. A restarted server has the same folder and port. */
  async start() {
    this.process = spawn(SERVER, ['dev', '--listen', this.listen, '--data', this.folder], { stdio: ['ignore', 'pipe', 'ignore'] });
    this.ended = new Promise((resolve) => this.process.once('close', resolve));
    const address = await this.#address();
    this.listen = new URL(address).host;
    return address;
  }

  #address() {
    return new Promise((resolve, reject) => {
      this.process.once('error', reject);
      this.process.once('exit', (code) => reject(new Error(`the server ended before it was ready: ${code}`)));
      createInterface(this.process.stdout).on('line', (line) => {
        const found = line.match(/http:\/\/127\.0\.0\.1:\d+\/demo\//);
        if (found) resolve(found[0]);
      });
    });
  }

  async kill() {
    this.process?.kill('SIGKILL');
    await this.ended;
  }

  async remove() {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** `driftless serve` on its own folder, with a pool `app` and these lines more in its configuration. */
export class ProductionServer {
  async start(lines) {
    this.folder = await mkdtemp(path.join(tmpdir(), 'driftless-serve-'));
    this.config = path.join(this.folder, 'driftless.toml');
    const issuer = '[[pools.app.issuers]]\nissuer = "i"\naudience = ["a"]\nsecret = "a secret that only this test and its issuer know"\n';
    await writeFile(this.config, `listen = "127.0.0.1:0"\ndata = ${JSON.stringify(path.join(this.folder, 'data'))}\n${lines}\n${issuer}`);
    this.process = spawn(SERVER, ['serve', '--config', this.config, '--log-format', 'json'], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.ended = new Promise((resolve) => this.process.once('close', resolve));
    this.url = await new Promise((resolve, reject) => {
      const lines = [];
      this.process.once('close', () => reject(new Error(`the server ended before it was ready: ${lines.join('\n')}`)));
      createInterface(this.process.stderr).on('line', (line) => {
        lines.push(line);
        const found = line.match(/"address":"([^"]+)"/);
        if (found) resolve(`http://${found[1]}`);
      });
    });
  }

  /** A token of the pool. */
  token(subject) {
    return runCommand(`driftless token --config ${this.config} --pool app --subject ${subject}`);
  }

  async remove() {
    this.process?.kill('SIGKILL');
    await this.ended;
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** One phone of the demo page: what its user does and sees. */
class Phone {
  constructor(page, letter) {
    this.page = page;
    this.letter = letter;
    this.root = page.getByTestId(`phone-${letter}`);
  }

  part(id) {
    return this.root.getByTestId(id);
  }

  record(key) {
    return this.root.locator(`[data-testid="record"][data-key=${JSON.stringify(key)}]`);
  }

  conflict(key) {
    return this.root.locator(`[data-testid="conflict"][data-key=${JSON.stringify(key)}]`);
  }

  /** Waits for a connection state. */
  waitForState(state) {
    return eventually(() => this.part('state').textContent(), state);
  }

  /** Waits until a part of the phone has this text. */
  waitForText(id, text) {
    return eventually(() => this.part(id).textContent(), text);
  }

  /** Waits until an input has this value. */
  waitForInput(id, value) {
    return eventually(() => this.part(id).inputValue(), value);
  }

  /** Waits until a record of the list has this value, as JSON. */
  waitForRecord(key, json) {
    return eventually(() => this.record(key).getByTestId('record-value').allTextContents(), [json]);
  }

  async goOffline() {
    await this.part('online').uncheck();
    await this.waitForState('offline');
  }

  async goOnline() {
    await this.part('online').check();
    await this.waitForState('live');
  }

  chooseTheme(theme) {
    return this.part(`theme-${theme}`).check();
  }

  /** Waits until the phone shows this theme. */
  waitForTheme(theme) {
    return eventually(() => this.root.getAttribute('data-theme'), theme);
  }

  async addRecord(key, value) {
    await this.part('add-key').fill(key);
    await this.part('add-value').fill(value);
    await this.part('add-submit').click();
  }
}

/** Runs a command line of `driftless` and returns what it printed. */
export async function runCommand(line) {
  const [program, ...rest] = line.trim().split(/\s+/);
  assert.ok([SERVER, 'driftless'].includes(program), program);
  const { stdout } = await promisify(execFile)(SERVER, rest);
  return stdout.trim();
}

/** Writes changes from a third device of the same person, over its own WebSocket. */
export function writeFromLaptop(page, changes) {
  return page.evaluate(async (changes) => {
    const { token } = await (await fetch('token?device=laptop')).json();
    const socket = new WebSocket(`ws://${location.host}/v1/sync`, 'driftless.v1.json');
    const say = (message) => socket.send(JSON.stringify(message));
    return new Promise((resolve, reject) => {
      socket.onopen = () => say({ type: 'hello', token, device: 'laptop', client: 'test' });
      socket.onclose = () => reject(new Error('closed'));
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === 'welcome') say({ type: 'write', id: message.patch + 1, dataset: 'settings', changes });
        else (message.type === 'written' ? resolve() : reject(new Error(data))), socket.close();
      };
    });
  }, changes);
}
