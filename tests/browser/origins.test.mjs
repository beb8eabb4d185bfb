// A web page of another origin uses /v1 with `fetch` and a WebSocket, in a real browser that sends real preflights.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import test from 'node:test';
import { newContext, ProductionServer } from './support.mjs';

/** A page server: one port, and two origins, as it is reached by name and by address. */
async function servePage() {
  const server = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<title>app</title>'));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  return { allowed: `http://127.0.0.1:${port}`, other: `http://localhost:${port}`, close: () => server.close() };
}

/** Sends requests from the page, one after the other, and returns what its script could read of each answer. */
function fetchFromPage(page, url, requests) {
  return page.evaluate(async ({ url, requests }) => {
    const answers = [];
    for (const { path, method, headers, body, large } of requests) {
      try {
        const answer = await fetch(url + path, { method, headers, body: large ? 'x'.repeat(large) : body });
        const { code, version, identity } = await answer.json();
        const read = (name) => answer.headers.get(name);
        answers.push({ status: answer.status, code, version, identity, named: read('Driftless-Identity'), challenge: read('WWW-Authenticate'), allow: read('Allow') });
      } catch (error) {
        answers.push({ error: error.name });
      }
    }
    return answers;
  }, { url, requests });
}

test('a page of a named origin uses the protocol and reads every refusal; a page of another origin reads and writes nothing', { timeout: 120_000 }, async () => {
  const [pages, context] = [await servePage(), await newContext()];
  const server = new ProductionServer();
  try {
    await server.start(`origins = [${JSON.stringify(`${pages.allowed}/`)}]`);
    const token = await server.token('alice');
    const authorized = { Authorization: `Bearer ${token}`, 'Driftless-Device': 'page', 'sentry-trace': 'any header of the app' };
    const json = { ...authorized, 'Content-Type': 'application/json' };
    const put = (id) => JSON.stringify({ id, changes: [{ key: 'theme', op: 'put', value: id }] });
    const page = await context.newPage();

    await page.goto(pages.allowed);
    const [session, written, forged, absent, unknown, method, large, removed] = await fetchFromPage(page, server.url, [
      { path: '/v1/session', method: 'GET', headers: authorized },
      { path: '/v1/datasets/settings/write', method: 'POST', headers: json, body: put(1) },
      { path: '/v1/datasets', method: 'GET', headers: { ...authorized, Authorization: 'Bearer a.b.c' } },
      { path: '/v1/datasets', method: 'GET', headers: {} },
      { path: '/v1/nowhere', method: 'GET', headers: authorized },
      { path: '/v1/datasets', method: 'PUT', headers: json, body: '{}' },
      { path: '/v1/datasets/settings/write', method: 'POST', headers: json, large: 3_000_000 },
      { path: '/v1/push', method: 'DELETE', headers: authorized },
    ]);
    assert.deepEqual([session.status, written.status, written.version, removed.status], [200, 200, 1, 200]);
    assert.equal(session.named, session.identity);
    assert.deepEqual([forged.status, forged.code], [401, 'token_refused']);
    assert.match(forged.challenge, /^Bearer .*error="invalid_token"/);
    assert.deepEqual([absent.status, absent.challenge], [401, 'Bearer realm="driftless"']);
    assert.deepEqual([unknown.status, unknown.code], [404, 'not_found']);
    assert.deepEqual([method.status, method.code, method.allow], [405, 'method_not_allowed', 'GET,HEAD,OPTIONS']);
    assert.deepEqual([large.status, large.code], [413, 'too_large']);
    assert.equal(await openSocket(page, server.url), 'open');

    await page.goto(pages.other);
    const refused = await fetchFromPage(page, server.url, [
      { path: '/v1/session', method: 'GET', headers: authorized },
      { path: '/v1/datasets/settings/write', method: 'POST', headers: json, body: put(2) },
      { path: '/v1/datasets', method: 'GET', headers: {} },
    ]);
    assert.deepEqual(refused, Array(3).fill({ error: 'TypeError' }));
    assert.equal(await openSocket(page, server.url), 'failed');

    await page.goto(pages.allowed);
    const [after] = await fetchFromPage(page, server.url, [{ path: '/v1/datasets/settings/write', method: 'POST', headers: json, body: put(3) }]);
    assert.equal(after.version, 2, 'the other page has written nothing');
  } finally {
    await context.close();
    await server.remove();
    pages.close();
  }
});

function openSocket(page, url) {
  return page.evaluate((url) => new Promise((resolve) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/sync`, 'driftless.v1.json');
    socket.onopen = () => (resolve('open'), socket.close());
    socket.onerror = () => resolve('failed');
  }), url);
}
