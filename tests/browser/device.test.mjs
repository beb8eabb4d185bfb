// The demo's device without a browser: what it keeps, sends and sends again.

import assert from 'node:assert/strict';
import test from 'node:test';
import { Device } from '../../src/dev/demo/device.js';

const WELCOME = { type: 'welcome', patch: 0 };

function changes(from, to, records, more = {}) {
  return { type: 'changes', dataset: 'settings', epoch: 'one', from, to, reset: false, more: false, records, ...more };
}

function record(key, value, version, device = 'other') {
  return { key, value, version, modified_ms: 0, device };
}

/** A device that is connected and has `theme` at version 5, written by another. */
function device() {
  const device = new Device('me', 'settings');
  device.connected(WELCOME);
  device.receive(changes(0, 5, [record('theme', 'light', 5)]));
  return device;
}

const written = (messages) => messages.filter(({ type }) => type === 'write').map(({ id, changes }) => [id, ...changes]);

test('edits made offline become the newest value on the first base', () => {
  const phone = device();
  phone.edit('theme', 'put', 'dark');
  phone.edit('theme', 'put', 'blue');
  phone.edit('visits', 'add', 1);
  phone.edit('visits', 'add', 1);
  assert.deepEqual(written(phone.flush()), [
    [1, { key: 'theme', op: 'put', value: 'blue', base: 5 }],
    [2, { key: 'visits', op: 'add', value: 2 }],
  ]);
});

test('a patch without an answer is sent again with its number, also after a restart', () => {
  const phone = device();
  phone.edit('visits', 'add', 1);
  const [patch] = written(phone.flush());
  phone.edit('visits', 'add', 1);
  assert.deepEqual(phone.flush(), []);

  const again = new Device('me', 'settings', JSON.parse(JSON.stringify({ replica: phone.replica(), outbox: phone.outbox() })));
  const [open, ...rest] = again.connected({ type: 'welcome', patch: 1 });
  assert.deepEqual(open, { type: 'open', dataset: 'settings', position: { epoch: 'one', version: 5 } });
  assert.deepEqual(written(rest), [patch]);
  assert.equal(again.view('visits').value, 2);

  const { send } = again.receive({ type: 'written', id: 1, version: 6, records: [record('visits', 1, 6, 'me')] });
  assert.deepEqual(send[0], { type: 'ack', dataset: 'settings', version: 6 });
  assert.deepEqual(written(send), [[2, { key: 'visits', op: 'add', value: 1 }]]);
  assert.equal(again.view('visits').value, 2);
});

test('a written patch moves the version only if nothing lies between', () => {
  const phone = device();
  phone.edit('theme', 'put', 'dark');
  phone.flush();
  assert.deepEqual(phone.receive({ type: 'written', id: 1, version: 8 }).send, []);
  assert.equal(phone.version, 5);
  phone.receive(changes(5, 8, [record('theme', 'blue', 6), record('theme', 'dark', 8, 'me')]));
  assert.equal(phone.version, 8);
  assert.equal(phone.view('theme').value, 'dark');
});

test('a conflict waits for a person, and is written again on what the person saw', () => {
  const phone = device();
  phone.edit('theme', 'put', 'dark');
  phone.flush();
  const { send } = phone.receive({ type: 'conflict', id: 1, dataset: 'settings', records: [record('theme', 'blue', 9)] });
  assert.deepEqual(send, []);
  assert.equal(phone.view('theme').value, 'blue');
  assert.deepEqual(phone.flush(), []);
  phone.keepMine('theme');
  assert.deepEqual(written(phone.flush()), [[2, { key: 'theme', op: 'put', value: 'dark', base: 9 }]]);
});

test('a conflict ends when the others come to the same value', () => {
  const phone = device();
  phone.edit('theme', 'put', { a: 1, b: [2] });
  phone.flush();
  phone.receive({ type: 'conflict', id: 1, dataset: 'settings', records: [record('theme', 'blue', 9)] });
  phone.receive(changes(5, 10, [record('theme', { b: [2], a: 1 }, 10)]));
  assert.equal(phone.conflicts.size, 0);
});

test('edits of a key on its way wait for the answer; a conflict takes them along', () => {
  const phone = device();
  phone.edit('theme', 'put', 'dark');
  phone.flush();
  phone.edit('theme', 'put', 'darker');
  assert.deepEqual(phone.flush(), []);
  phone.receive({ type: 'conflict', id: 1, dataset: 'settings', records: [record('theme', 'blue', 9)] });
  assert.equal(phone.conflicts.get('theme').value, 'darker');
  assert.equal(phone.unsent, 0);
});

test('another history is taken as it is; unsent edits stay and know nothing of it', () => {
  const phone = device();
  phone.edit('theme', 'put', 'dark');
  phone.receive(changes(0, 2, [record('name', 'Ada', 2)], { epoch: 'two', reset: true }));
  assert.deepEqual(phone.keys(), ['name', 'theme']);
  assert.deepEqual([...phone.sent.values()], [{ id: 1, change: { key: 'theme', op: 'put', value: 'dark', base: 0 } }]);
});

test('never more than 64 patches are on their way', () => {
  const phone = device();
  for (let n = 0; n < 70; n += 1) phone.edit(`key ${n}`, 'put', n);
  assert.equal(phone.flush().length, 64);
  assert.deepEqual(phone.flush(), []);
  const { send } = phone.receive({ type: 'written', id: 1, version: 6 });
  assert.equal(written(send)[0][0], 65);
});

test('what the store cannot do now is sent again with the same number; other refusals drop the edit', () => {
  const phone = device();
  phone.edit('theme', 'put', 'dark');
  const [patch] = phone.flush();
  const { later } = phone.receive({ type: 'refused', id: 1, dataset: 'settings', code: 'unavailable', message: '' });
  assert.deepEqual(later.map(({ message }) => message), [patch]);
  const { events } = phone.receive({ type: 'refused', id: 1, dataset: 'settings', code: 'too_large', message: 'no' });
  assert.equal(events[0].kind, 'refused');
  assert.equal(phone.view('theme').value, 'light');
});

test('a number that was used already is replaced by one after the welcome', () => {
  const phone = device();
  phone.edit('theme', 'put', 'dark');
  phone.flush();
  phone.connected({ type: 'welcome', patch: 40 });
  const { send } = phone.receive({ type: 'refused', id: 1, dataset: 'settings', code: 'patch_reused', message: '' });
  assert.deepEqual(written(send), [[41, { key: 'theme', op: 'put', value: 'dark', base: 5 }]]);
});
