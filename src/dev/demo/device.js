// One device: its own copy of a dataset, and the writes that the server has not accepted yet.
//
// Pure: no socket, clock, chance or storage. Every message that must be sent is returned, and so is every event that a person may want to see.
//
// - `records` is what the server said, tombstones too. A record gives way only to one with a higher version.
// - `waiting` are edits without a number, the newest for each key. `sent` are numbered patches of one change each; they stay as they are
//   until they are answered, so that sending one twice does no harm. A key has at most one patch on its way.
// - `conflicts` are refused edits, kept aside until a person decides. Nothing is ever sent again by itself after a conflict.

import { applied, coalesced, equal } from './change.js';

/** PROTOCOL.md §2: the numbers of patches on their way are less than this apart. */
const PATCH_WINDOW = 64;

/** How long to wait before a patch that was refused as `unavailable` is sent again. */
const UNAVAILABLE_RETRY_MS = 2000;

export class Device {
  constructor(id, dataset, saved = {}) {
    this.id = id;
    this.dataset = dataset;
    this.position = saved.replica?.position ?? null;
    this.records = new Map(saved.replica?.records);
    this.next = saved.outbox?.next ?? 1;
    this.sent = new Map(saved.outbox?.sent);
    this.waiting = new Map(saved.outbox?.waiting);
    this.conflicts = new Map(saved.outbox?.conflicts);
  }

  /** What may be fetched again: to be saved now and then. */
  replica() {
    return { position: this.position, records: [...this.records] };
  }

  /** What exists nowhere else: to be saved after each edit, and before anything is sent. */
  outbox() {
    return { next: this.next, sent: [...this.sent], waiting: [...this.waiting], conflicts: [...this.conflicts] };
  }

  get version() {
    return this.position?.version ?? 0;
  }

  get unsent() {
    return this.waiting.size + this.sent.size;
  }

  /** A key as this device shows it: the server's value with the device's own unanswered writes on top. No value: `undefined`. */
  view(key) {
    const record = this.records.get(key);
    let value = record?.value;
    if (this.sent.has(key)) value = applied(value, this.sent.get(key).change);
    if (this.waiting.has(key)) value = applied(value, this.waiting.get(key));
    return { key, value, record, waiting: this.sent.has(key) || this.waiting.has(key) };
  }

  /** All keys that the device shows, in order. */
  keys() {
    const keys = new Set([...this.records.keys(), ...this.sent.keys(), ...this.waiting.keys()]);
    return [...keys].filter((key) => this.view(key).value !== undefined).sort();
  }

  /** A person's edit: `op` is `put`, `remove` or `add`. It decides an open conflict of this key. */
  edit(key, op, value) {
    this.conflicts.delete(key);
    const base = this.sent.get(key)?.change.base ?? this.#seen(key);
    this.waiting.set(key, coalesced(this.waiting.get(key), { key, op, value }, base));
  }

  /** Writes the conflicting edit again, now knowing what it replaces. */
  keepMine(key) {
    const mine = this.conflicts.get(key);
    if (mine) this.edit(key, mine.op, mine.value);
  }

  takeTheirs(key) {
    this.conflicts.delete(key);
  }

  /** After `welcome`: what to send first. */
  connected({ patch }) {
    this.next = Math.max(this.next, patch + 1);
    const again = [...this.sent.values()].sort((a, b) => a.id - b.id);
    return [this.#open(), ...again.map((patch) => this.#write(patch)), ...this.flush()];
  }

  /** Numbers the edits that may go now. */
  flush() {
    const messages = [];
    for (const [key, change] of this.waiting) {
      if (this.next - this.#oldest() >= PATCH_WINDOW) break;
      if (this.sent.has(key)) continue;
      const patch = { id: this.next++, change };
      this.waiting.delete(key);
      this.sent.set(key, patch);
      messages.push(this.#write(patch));
    }
    return messages;
  }

  /** The lowest number on its way, or the next one. */
  #oldest() {
    let oldest = this.next;
    for (const { id } of this.sent.values()) oldest = Math.min(oldest, id);
    return oldest;
  }

  /** A message of the server. Returns `send`, `events`, and `later` with `delay_ms` and `message`. */
  receive(message) {
    const effects = { send: [], events: [], later: [] };
    if (message.type === 'changes' && message.dataset === this.dataset) this.#changes(message, effects);
    if (message.type === 'written') this.#written(message, effects);
    if (message.type === 'conflict') this.#conflict(message, effects);
    if (message.type === 'refused') this.#refused(message, effects);
    effects.send.push(...this.flush());
    return effects;
  }

  #changes({ epoch, to, reset, more, records }, { send, events }) {
    if (reset) this.#forget(epoch, events);
    const fresh = records.filter((record) => this.#keep(record) && record.device !== this.id);
    this.position = { epoch, version: to };
    if (fresh.length > 0) events.push({ kind: 'got', version: to, records: fresh });
    for (const key of this.conflicts.keys()) this.#settle(key, events);
    if (!more) send.push(this.#ack());
  }

  #written({ id, version, records }, { send, events }) {
    const change = this.#answered(id);
    if (!change) return;
    const { key, op, value } = change;
    const known = op === 'remove' ? { key, removed: true } : { key, value };
    for (const record of records?.length ? records : [{ ...known, version, device: this.id }]) this.#keep(record);
    events.push({ kind: 'wrote', key, version });
    if (this.position?.version === version - 1) {
      this.position.version = version;
      send.push(this.#ack());
    }
  }

  #conflict({ id, records }, { events }) {
    const change = this.#answered(id);
    if (!change) return;
    const { key } = change;
    for (const record of records) this.#keep(record);
    const newer = this.waiting.get(key);
    this.waiting.delete(key);
    this.conflicts.set(key, newer ? coalesced(change, newer, change.base) : change);
    events.push({ kind: 'conflict', key, device: this.records.get(key)?.device });
    this.#settle(key, events);
  }

  #refused({ id, code, message }, { send, events, later }) {
    if (code === 'ahead_of_server') send.push(this.#open());
    const patch = [...this.sent.values()].find((patch) => patch.id === id);
    if (patch && code === 'unavailable') {
      later.push({ delay_ms: UNAVAILABLE_RETRY_MS, message: this.#write(patch) });
    } else if (patch) {
      const change = this.#answered(id);
      if (this.#mayWriteAgain(code, change)) this.waiting.set(change.key, this.#again(change));
      else events.push({ kind: 'refused', key: change.key, code, message });
    } else {
      events.push({ kind: 'refused', code, message });
    }
  }

  /** An expired `put` or `remove` may be repeated, because a device does not conflict with itself; an `add` would count twice. */
  #mayWriteAgain(code, { op }) {
    return code === 'patch_reused' || (code === 'patch_expired' && op !== 'add');
  }

  #again(change) {
    const newer = this.waiting.get(change.key);
    return newer ? coalesced(change, newer, change.base) : change;
  }

  /** In another history the versions that unsent edits were based on mean nothing: any value there may be news to the person. */
  #forget(epoch, events) {
    if (this.position && this.position.epoch !== epoch) {
      for (const [key, change] of this.waiting) if ('base' in change) this.waiting.set(key, { ...change, base: 0 });
    }
    this.records.clear();
    events.push({ kind: 'reset' });
  }

  #keep(record) {
    if (record.version <= this.#seen(record.key)) return false;
    this.records.set(record.key, record);
    return true;
  }

  /** A conflict of two equal values is none. */
  #settle(key, events) {
    const theirs = this.records.get(key)?.value;
    const mine = applied(theirs, this.conflicts.get(key));
    if (!equal(mine, theirs)) return;
    this.conflicts.delete(key);
    events.push({ kind: 'settled', key });
  }

  #seen(key) {
    return this.records.get(key)?.version ?? 0;
  }

  #answered(id) {
    for (const [key, patch] of this.sent) {
      if (patch.id !== id) continue;
      this.sent.delete(key);
      return patch.change;
    }
    return null;
  }

  #open() {
    return { type: 'open', dataset: this.dataset, ...(this.position && { position: this.position }) };
  }

  #write({ id, change }) {
    return { type: 'write', id, dataset: this.dataset, changes: [change] };
  }

  #ack() {
    return { type: 'ack', dataset: this.dataset, version: this.version };
  }
}
