// One device: its own copy of a dataset, and the writes that the server has not accepted yet.
//
// Pure: no socket, clock, chance or storage. Every message that must be sent is returned, and so is every event that a person may want to see.
//
// - `records` is what the server said, tombstones too. A record gives way only to one with a higher version.
// - `waiting` are edits without a number, the newest for each key. `sent` are numbered patches of one change each; they stay as they are
//   until they are answered, so that sending one twice does no harm. A key has at most one patch on its way.
// - A base is a version of the history that the records are of. Nothing is sent before the server has said that it has that history; when it
//   has another one, bases are lowered, and what it does not have is offered again (PROTOCOL.md §8). A lowered patch keeps its `earlier` bases:
//   if the server knows its number it is asked with those, because it may have applied it so. It applies nothing under a number that it knows.
// - `conflicts` are refused edits, kept aside until a person decides. Nothing is ever sent again by itself after a conflict.

import { applied, coalesced, equal } from './change.js';
import { Former } from './former.js';

/** PROTOCOL.md §2: the numbers of patches on their way are less than this apart. */
const PATCH_WINDOW = 64;

/** How long to wait before what the store could not do is asked for again. */
const RETRY_MS = 2000;

/** PROTOCOL.md §4: what the store cannot do now, and may do later. */
const LATER = new Set(['unavailable', 'read_only']);

export class Device {
  /** Whether the server of this connection has said which history it has. */
  #told = false;

  constructor(id, dataset, saved = {}) {
    this.id = id;
    this.dataset = dataset;
    this.position = saved.replica?.position ?? null;
    this.records = new Map(saved.replica?.records);
    this.identity = saved.outbox?.identity;
    this.former = new Former(saved.outbox?.former);
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
    const { identity, next, sent, waiting, conflicts } = this;
    return { identity, former: this.former.saved(), next, sent: [...sent], waiting: [...waiting], conflicts: [...conflicts] };
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
    this.former.overtake(key);
    const base = this.sent.get(key)?.change.base ?? this.#base(key);
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

  /** After `welcome`: what to send first, and what happened. */
  connected({ patch, identity, merged = [] }) {
    const events = [];
    if (this.identity && identity !== this.identity) this.#become(merged.includes(this.identity), events);
    this.identity = identity;
    this.next = Math.max(this.next, patch + 1);
    this.#told = this.position === null;
    for (const patch of this.sent.values()) patch.asked = 0;
    const send = [this.#open(), ...(this.#told ? this.#again() : []), ...this.flush()];
    return { send, events, later: [] };
  }

  /** Numbers the edits that may go now. */
  flush() {
    const messages = [];
    if (!this.#told) return messages;
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

  #changes({ epoch, to, reset, shared, more, records }, { send, events }) {
    if (reset) this.#beginAnew(epoch, shared, events);
    const fresh = records.filter((record) => this.#keep(record) && record.device !== this.id);
    this.position = { epoch, version: to };
    if (fresh.length > 0) events.push({ kind: 'got', version: to, records: fresh });
    for (const key of this.conflicts.keys()) this.#settle(key, events);
    if (!this.#told) {
      this.#told = true;
      send.push(...this.#again());
    }
    if (more) return;
    send.push(this.#ack());
    this.#offer(events);
  }

  #written({ id, version, records }, { send, events }) {
    const patch = this.#answered(id);
    if (!patch) return;
    const { key, op, value } = patch.change;
    events.push({ kind: 'wrote', key, version });
    // It may be a version of the identity before: asking again tells.
    if (patch.crossed) return void send.push(this.#open());
    const own = { put: { key, value }, remove: { key, removed: true } }[op];
    for (const record of own ? [{ ...own, version, device: this.id }] : (records ?? [])) this.#keep(record);
    if (this.position?.version === version - 1) {
      this.position.version = version;
      send.push(this.#ack());
    }
  }

  #conflict({ id, records }, { events }) {
    const change = this.#answered(id)?.change;
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
    if (LATER.has(code) && patch) {
      later.push({ delay_ms: RETRY_MS, message: this.#write(patch) });
    } else if (LATER.has(code) && id === undefined) {
      later.push({ delay_ms: RETRY_MS, message: code === 'read_only' ? this.#ack() : this.#open() });
    } else if (patch && code === 'patch_reused' && (patch.asked ?? 0) < (patch.earlier?.length ?? 0)) {
      patch.asked = (patch.asked ?? 0) + 1;
      send.push(this.#write(patch));
    } else if (patch) {
      const { change } = this.#answered(id);
      if (this.#mayWriteAgain(code, change)) this.waiting.set(change.key, this.#withNewer(change));
      else events.push({ kind: 'refused', key: change.key, code, message });
    } else {
      events.push({ kind: 'refused', code, message });
    }
  }

  /** An expired `put` or `remove` may be repeated, because a device does not conflict with itself; an `add` would count twice. */
  #mayWriteAgain(code, { op }) {
    return code === 'patch_reused' || (code === 'patch_expired' && op !== 'add');
  }

  #withNewer(change) {
    const newer = this.waiting.get(change.key);
    return newer ? coalesced(change, newer, change.base) : change;
  }

  /** The person's data is in another identity from now on. If that is not where this one was merged into, nothing of it may get there. */
  #become(merged, events) {
    if (merged) {
      this.#lower(0);
      for (const patch of this.sent.values()) patch.crossed = true;
      this.former.merge(this.records);
      this.#overtake();
    } else {
      for (const edits of [this.waiting, this.sent, this.conflicts]) edits.clear();
      this.former = new Former();
    }
    this.records.clear();
    this.position = null;
    events.push({ kind: merged ? 'moved' : 'another person' });
  }

  #beginAnew(epoch, shared, events) {
    if (this.position && this.position.epoch !== epoch) {
      this.#lower(shared ?? 0);
      this.former.restore(this.records, shared);
      this.#overtake();
    }
    this.records.clear();
    events.push({ kind: 'reset' });
  }

  /** In the new history a version above `shared` is another one, or none: what was written after `shared` there is news to the person. */
  #lower(shared) {
    for (const [key, change] of this.waiting) if (change.base > shared) this.waiting.set(key, { ...change, base: shared });
    for (const patch of this.sent.values()) {
      if (!(patch.change.base > shared)) continue;
      patch.earlier = [...(patch.earlier ?? []), patch.change.base];
      patch.change = { ...patch.change, base: shared };
    }
  }

  /** Unanswered edits, and those that a person has to decide on, are newer than what was here. */
  #overtake() {
    for (const edits of [this.waiting, this.sent, this.conflicts]) for (const key of edits.keys()) this.former.overtake(key);
  }

  /** Everything of the new history is here. */
  #offer(events) {
    const { former } = this;
    const offers = former.offers(this.records);
    this.former = new Former();
    for (const change of offers) this.waiting.set(change.key, { ...change, offer: true });
    if (former.restored) events.push({ kind: 'restored', shared: former.shared, offered: offers.length });
  }

  #keep(record) {
    if (record.version <= (this.records.get(record.key)?.version ?? 0)) return false;
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

  /** What this device knows of a key: its record, or that there was none up to the position. */
  #base(key) {
    const record = this.records.get(key);
    return record && !record.removed ? record.version : Math.max(record?.version ?? 0, this.version);
  }

  #answered(id) {
    for (const [key, patch] of this.sent) {
      if (patch.id !== id) continue;
      this.sent.delete(key);
      return patch;
    }
    return null;
  }

  #open() {
    return { type: 'open', dataset: this.dataset, ...(this.position && { position: this.position }) };
  }

  /** What has a number, oldest first. */
  #again() {
    return [...this.sent.values()].sort((a, b) => a.id - b.id).map((patch) => this.#write(patch));
  }

  #write({ id, change: { offer, ...change }, earlier = [], asked = 0 }) {
    const base = earlier[earlier.length - asked];
    const changes = [base === undefined ? change : { ...change, base }];
    return { type: 'write', id, dataset: this.dataset, changes, ...(offer && { offer }) };
  }

  #ack() {
    return { type: 'ack', dataset: this.dataset, version: this.version };
  }
}
