// The demo page's device without a browser: its state, and the messages that it sends and repeats.

import assert from 'node:assert/strict';
import test from 'node:test';
import { Device } from '../../src/dev/demo/device.js';

const WELCOME = { type: 'welcome', identity: 'local:alice', patch: 0 };

function changes(from, to, records, more = {}) {
  return { type: 'changes', dataset: 'settings', epoch: 'one', from, to, reset: false, more: false, records, ...more };
}

function record(key, value, version, device = 'other') {
  return { key, value, version, modified_ms: 0, device };
}

/** A connected device that has `theme` at version 5, written by another device. */
function device() {
  const device = new Device('me', 'settings');
  device.connected(WELCOME);
  device.receive(changes(0, 5, [record('theme', 'light', 5)]));
  return device;
}

const written = (messages) => messages.filter(({ type }) => type === 'write').map(({ id, changes }) => [id, ...changes]);

test('offline edits of a key are sent as one patch with the newest value and the first base', () => {
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

test('an unanswered patch is sent again with its number, also after a restart of the device', () => {
  const phone = device();
  phone.edit('visits', 'add', 1);
  const [patch] = written(phone.flush());
  phone.edit('visits', 'add', 1);
  assert.deepEqual(phone.flush(), []);

  const again = new Device('me', 'settings', JSON.parse(JSON.stringify({ replica: phone.replica(), outbox: phone.outbox() })));
  assert.deepEqual(again.connected({ ...WELCOME, patch: 1 }).send, [{ type: 'open', dataset: 'settings', position: { epoch: 'one', version: 5 } }]);
  assert.deepEqual(again.flush(), [], 'the store may have been restored meanwhile');
  assert.deepEqual(written(again.receive(changes(5, 5, [])).send), [patch]);
  assert.equal(again.view('visits').value, 2);

  const { send } = again.receive({ type: 'written', id: 1, version: 6, records: [record('visits', 1, 6, 'me')] });
  assert.deepEqual(send[0], { type: 'ack', dataset: 'settings', version: 6 });
  assert.deepEqual(written(send), [[2, { key: 'visits', op: 'add', value: 1 }]]);
  assert.equal(again.view('visits').value, 2);
});

test('the device takes the result of an addition only from the server', () => {
  const phone = device();
  phone.receive(changes(5, 6, [record('visits', 40, 6)]));
  phone.edit('visits', 'add', 2);
  phone.flush();
  phone.receive({ type: 'written', id: 1, version: 7 });
  assert.equal(phone.view('visits').value, 40, 'another device has written the record since, and changes will follow');
});

test('a written patch advances the version only if it is the next one', () => {
  const phone = device();
  phone.edit('theme', 'put', 'dark');
  phone.flush();
  assert.deepEqual(phone.receive({ type: 'written', id: 1, version: 8 }).send, []);
  assert.equal(phone.version, 5);
  phone.receive(changes(5, 8, [record('theme', 'blue', 6), record('theme', 'dark', 8, 'me')]));
  assert.equal(phone.version, 8);
  assert.equal(phone.view('theme').value, 'dark');
});

test('a conflict waits for the user, whose value is written with the base that the user saw', () => {
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

test('a conflict ends when another device writes the same value', () => {
  const phone = device();
  phone.edit('theme', 'put', { a: 1, b: [2] });
  phone.flush();
  phone.receive({ type: 'conflict', id: 1, dataset: 'settings', records: [record('theme', 'blue', 9)] });
  phone.receive(changes(5, 10, [record('theme', { b: [2], a: 1 }, 10)]));
  assert.equal(phone.conflicts.size, 0);
});

test('edits of a key with a patch in flight wait for the answer; a conflict includes them', () => {
  const phone = device();
  phone.edit('theme', 'put', 'dark');
  phone.flush();
  phone.edit('theme', 'put', 'darker');
  assert.deepEqual(phone.flush(), []);
  phone.receive({ type: 'conflict', id: 1, dataset: 'settings', records: [record('theme', 'blue', 9)] });
  assert.equal(phone.conflicts.get('theme').value, 'darker');
  assert.equal(phone.unsent, 0);
});

/** A device that has `theme` of version 5, `lost` of 8 and the removal of `gone` of 9, and then lost its connection. */
function disconnectedDevice() {
  const phone = device();
  phone.receive(changes(5, 9, [record('lost', 'kept', 8), { key: 'gone', removed: true, version: 9, modified_ms: 0, device: 'other' }]));
  return phone;
}

/** Connects the device to a store that was restored to version 6, and gives it the first page. */
function connectRestored(phone, more = {}) {
  phone.connected({ ...WELCOME, patch: 0 });
  const records = [record('theme', 'light', 5), record('gone', 'here', 6)];
  return phone.receive(changes(0, 6, records, { epoch: 'two', reset: true, shared: 6, ...more }));
}

test('records that a restored server has lost are offered again, with the last shared version as base', () => {
  const phone = disconnectedDevice();
  const { send, events } = connectRestored(phone);
  assert.deepEqual(send[0], { type: 'ack', dataset: 'settings', version: 6 });
  assert.deepEqual(written(send), [
    [1, { key: 'lost', op: 'put', value: 'kept', base: 6 }],
    [2, { key: 'gone', op: 'remove', base: 6 }],
  ]);
  assert.deepEqual(events.at(-1), { kind: 'restored', shared: 6, offered: 2 });
  assert.deepEqual(phone.keys(), ['lost', 'theme']);
});

test('unanswered edits are sent to a restored server with lower bases, and replace the offers of their keys', () => {
  const phone = disconnectedDevice();
  phone.edit('lost', 'put', 'mine');
  phone.flush();
  phone.edit('gone', 'put', 'back');
  phone.edit('theme', 'put', 'dark');
  const { send } = connectRestored(phone);
  assert.deepEqual(written(send), [
    [1, { key: 'lost', op: 'put', value: 'mine', base: 6 }],
    [2, { key: 'gone', op: 'put', value: 'back', base: 6 }],
    [3, { key: 'theme', op: 'put', value: 'dark', base: 5 }],
  ]);
});

test('an edit made between two pages of a restored server replaces the offer of its key', () => {
  const phone = disconnectedDevice();
  connectRestored(phone, { more: true });
  phone.edit('lost', 'put', 'mine');
  phone.flush();
  phone.receive({ type: 'written', id: 1, version: 7 });
  const { send } = phone.receive(changes(6, 7, [], { epoch: 'two' }));
  assert.deepEqual(written(send), [[2, { key: 'gone', op: 'remove', base: 6 }]]);
});

test('an offer that conflicts with a record of the restored server is shown to the user', () => {
  const phone = disconnectedDevice();
  connectRestored(phone);
  const { events } = phone.receive({ type: 'conflict', id: 1, dataset: 'settings', records: [record('lost', 'newer', 7)] });
  assert.deepEqual(events, [{ kind: 'conflict', key: 'lost', device: 'other' }]);
  assert.equal(phone.conflicts.get('lost').value, 'kept');
});

test('a second restore, also after a restart of the device, neither loses nor duplicates an offer', () => {
  const phone = disconnectedDevice();
  connectRestored(phone, { more: true });
  const again = new Device('me', 'settings', JSON.parse(JSON.stringify({ replica: phone.replica(), outbox: phone.outbox() })));
  again.connected(WELCOME);
  const { send, events } = again.receive(changes(0, 4, [], { epoch: 'three', reset: true, shared: 4 }));
  const offers = ['theme', 'lost', 'gone'].map((key) => written(send).find(([, change]) => change.key === key)?.[1]);
  assert.deepEqual(offers, [
    { key: 'theme', op: 'put', value: 'light', base: 4 },
    { key: 'lost', op: 'put', value: 'kept', base: 4 },
    { key: 'gone', op: 'remove', base: 4 },
  ], 'the removal of `gone` is newer than the copy of it that the first restore brought');
  assert.equal(events.at(-1).offered, 3);
  assert.ok(send.filter(({ type }) => type === 'write').every(({ offer }) => offer), 'offers never win under last-writer-wins');

  again.connected(WELCOME);
  const later = again.receive(changes(0, 2, [], { epoch: 'four', reset: true, shared: 2 }));
  assert.deepEqual(written(later.send).map(([id, { base }]) => [id, base]), [[1, 2], [2, 2], [3, 2]]);
  assert.equal(later.events.at(-1).offered, 0);
});

test('another epoch without a shared version replaces the records; unsent edits stay, with base 0', () => {
  const phone = device();
  phone.edit('theme', 'put', 'dark');
  phone.receive(changes(0, 2, [record('name', 'Ada', 2)], { epoch: 'two', reset: true }));
  assert.deepEqual(phone.keys(), ['name', 'theme']);
  assert.deepEqual([...phone.sent.values()], [{ id: 1, change: { key: 'theme', op: 'put', value: 'dark', base: 0 } }]);
});

test('a device behind the tombstone horizon offers nothing and keeps its bases', () => {
  const phone = disconnectedDevice();
  phone.edit('theme', 'put', 'dark');
  phone.connected(WELCOME);
  const { send } = phone.receive(changes(0, 40, [record('theme', 'light', 30)], { reset: true }));
  assert.deepEqual(written(send), [[1, { key: 'theme', op: 'put', value: 'dark', base: 5 }]]);
});

test('a guest merged into a user sends its edits, and offers its records with base 0', () => {
  const phone = disconnectedDevice();
  phone.edit('theme', 'put', 'dark');
  phone.flush();
  const { send, events } = phone.connected({ ...WELCOME, identity: 'local:bob', merged: ['local:alice'] });
  assert.deepEqual(events, [{ kind: 'moved' }]);
  assert.deepEqual(send[0], { type: 'open', dataset: 'settings' });
  assert.deepEqual(written(send), [[1, { key: 'theme', op: 'put', value: 'dark', base: 0 }]]);

  const earlier = phone.receive({ type: 'refused', id: 1, dataset: 'settings', code: 'patch_reused', message: '' });
  assert.deepEqual(written(earlier.send), [[1, { key: 'theme', op: 'put', value: 'dark', base: 5 }]]);
  const found = phone.receive({ type: 'written', id: 1, version: 10 });
  assert.deepEqual(found.send, [{ type: 'open', dataset: 'settings' }]);
  assert.equal(phone.version, 0, '10 is a version of the guest\'s dataset');

  const there = phone.receive(changes(0, 40, [record('theme', 'dark', 30), record('lost', 'theirs', 31)]));
  assert.deepEqual(written(there.send), [[2, { key: 'lost', op: 'put', value: 'kept', base: 0 }]]);
});

test('no data of one identity is sent to another', () => {
  const phone = disconnectedDevice();
  phone.edit('theme', 'put', 'dark');
  const { send, events } = phone.connected({ ...WELCOME, identity: 'local:bob', merged: ['local:carol'] });
  assert.deepEqual(send, [{ type: 'open', dataset: 'settings' }]);
  assert.deepEqual([events, phone.keys(), phone.unsent], [[{ kind: 'another person' }], [], 0]);
});

test('the base of a record is its version, the base of an absent record the position', () => {
  const phone = disconnectedDevice();
  for (const key of ['theme', 'gone', 'never']) phone.edit(key, 'put', 1);
  assert.deepEqual(written(phone.flush()).map(([, { base }]) => base), [5, 9, 9]);
});

test('at most 64 patches are in flight', () => {
  const phone = device();
  for (let n = 0; n < 70; n += 1) phone.edit(`key ${n}`, 'put', n);
  assert.equal(phone.flush().length, 64);
  assert.deepEqual(phone.flush(), []);
  const { send } = phone.receive({ type: 'written', id: 1, version: 6 });
  assert.equal(written(send)[0][0], 65);
});

test('a patch refused as unavailable or read-only is sent again with its number; other refusals drop the edit', () => {
  const phone = device();
  phone.edit('theme', 'put', 'dark');
  const [patch] = phone.flush();
  for (const code of ['unavailable', 'read_only']) {
    const { later } = phone.receive({ type: 'refused', id: 1, dataset: 'settings', code, message: '' });
    assert.deepEqual(later.map(({ message }) => message), [patch]);
  }
  const { later } = phone.receive({ type: 'refused', dataset: 'settings', code: 'read_only', message: '' });
  assert.deepEqual(later.map(({ message }) => message), [{ type: 'ack', dataset: 'settings', version: 5 }]);
  const { events } = phone.receive({ type: 'refused', id: 1, dataset: 'settings', code: 'too_large', message: 'no' });
  assert.equal(events[0].kind, 'refused');
  assert.equal(phone.view('theme').value, 'light');
});

test('a conflict answered after the patch was sent again is handled like any other', () => {
  const phone = device();
  phone.edit('theme', 'put', 'dark');
  const first = phone.flush();
  phone.connected({ ...WELCOME, patch: 1 });
  const { send } = phone.receive(changes(5, 5, []));
  assert.deepEqual(send.filter(({ type }) => type === 'write'), first);
  const { events } = phone.receive({ type: 'conflict', id: 1, dataset: 'settings', records: [record('theme', 'blue', 6)] });
  assert.equal(events[0].kind, 'conflict');
  phone.keepMine('theme');
  assert.deepEqual(written(phone.flush()), [[2, { key: 'theme', op: 'put', value: 'dark', base: 6 }]]);
});

test('a reused patch number is replaced by one above that of the welcome', () => {
  const phone = device();
  phone.edit('theme', 'put', 'dark');
  phone.flush();
  phone.connected({ ...WELCOME, patch: 40 });
  phone.receive(changes(5, 5, []));
  const { send } = phone.receive({ type: 'refused', id: 1, dataset: 'settings', code: 'patch_reused', message: '' });
  assert.deepEqual(written(send), [[41, { key: 'theme', op: 'put', value: 'dark', base: 5 }]]);
});

test('a device that the server had forgotten sends its edits again, but no addition that may have been counted', () => {
  const phone = device();
  phone.connected({ ...WELCOME, known_since_ms: 100 });
  phone.receive(changes(5, 5, []));
  phone.edit('theme', 'put', 'dark');
  phone.edit('visits', 'add', 1);
  phone.flush();
  const again = phone.connected({ ...WELCOME, patch: 2, known_since_ms: 100 });
  assert.deepEqual([again.events, phone.sent.size], [[], 2]);
  const { events } = phone.connected({ ...WELCOME, known_since_ms: 200 });
  assert.deepEqual(events.map(({ kind, key, code }) => [kind, key, code]), [['refused', 'visits', 'patch_expired']]);
  phone.edit('visits', 'add', 5);
  const { send } = phone.receive(changes(0, 7, [record('theme', 'light', 5)], { reset: true }));
  assert.deepEqual(written(send).map(([id, { key, op }]) => [id, key, op]), [[1, 'theme', 'put'], [3, 'visits', 'add']]);
});
