// One device: its replica of a dataset, and the writes that the server has not accepted yet.
//
// Pure: no socket, clock, random number or storage. Methods return the messages to send and the events to show.
//
// - `records` are the server's records, tombstones included. Only a record with a higher version replaces a record.
// - `waiting` are edits without a patch number, one per key. `sent` are numbered patches of one change each. They do not change until the
//   server answers them, so that they can be sent again. A key has at most one sent patch.
// - A base is a version in the epoch of the replica. Nothing is sent before the server has confirmed that epoch. If the server has another
//   epoch, the device lowers the bases and offers what the server lacks (PROTOCOL.md §8). A lowered patch keeps its `earlierBases`: if the server
//   already knows the patch number, it may have applied the patch with one of those, so the device sends it again with each of them. The server
//   applies nothing new under a known number.
// - `conflicts` are edits that the server rejected with a conflict. They are kept until the person decides, and never sent again automatically.

import { applyChange, coalesce, equal } from './change.js';
import { PreviousReplica } from './previous_replica.js';

/** PROTOCOL.md §2: the numbers of unanswered patches differ by less than this. */
const PATCH_WINDOW = 64;

/** The delay before a request that the store could not serve is sent again. */
const RETRY_MS = 2000;

/** PROTOCOL.md §4: refusals that may succeed later. */
const RETRYABLE = new Set(['unavailable', 'read_only']);

export class Device {
  /** Whether the server has confirmed its epoch on this connection. */
  #epochIsConfirmed = false;

  constructor(id, dataset, saved = {}) {
    this.id = id;
    this.dataset = dataset;
    this.position = saved.replica?.position ?? null;
    this.records = new Map(saved.replica?.records);
    this.identity = saved.outbox?.identity;
    this.previous = new PreviousReplica(saved.outbox?.previous);
    this.knownSince_ms = saved.outbox?.knownSince_ms;
    this.next = saved.outbox?.next ?? 1;
    this.sent = new Map(saved.outbox?.sent);
    this.waiting = new Map(saved.outbox?.waiting);
    this.conflicts = new Map(saved.outbox?.conflicts);
  }

  /** State that can be fetched again: saved from time to time. */
  replica() {
    return { position: this.position, records: [...this.records] };
  }

  /** State that exists nowhere else: saved after each edit, and before anything is sent. */
  outbox() {
    const { identity, knownSince_ms, next, sent, waiting, conflicts } = this;
    return { identity, knownSince_ms, previous: this.previous.saved(), next, sent: [...sent], waiting: [...waiting], conflicts: [...conflicts] };
  }

  get version() {
    return this.position?.version ?? 0;
  }

  get unsent() {
    return this.waiting.size + this.sent.size;
  }

  /** A key as this device shows it: the server's value with the device's unanswered writes applied. A key without a value has `undefined`. */
  view(key) {
    const record = this.records.get(key);
    let value = record?.value;
    if (this.sent.has(key)) value = applyChange(value, this.sent.get(key).change);
    if (this.waiting.has(key)) value = applyChange(value, this.waiting.get(key));
    return { key, value, record, waiting: this.sent.has(key) || this.waiting.has(key) };
  }

  /** All keys with a value, in order. */
  keys() {
    const keys = new Set([...this.records.keys(), ...this.sent.keys(), ...this.waiting.keys()]);
    return [...keys].filter((key) => this.view(key).value !== undefined).sort();
  }

  /** Records an edit: `op` is `put`, `remove` or `add`. It also resolves an open conflict of this key. */
  edit(key, op, value) {
    this.conflicts.delete(key);
    this.previous.discard(key);
    const base = this.sent.get(key)?.change.base ?? this.#base(key);
    this.waiting.set(key, coalesce(this.waiting.get(key), { key, op, value }, base));
  }

  /** Resolves a conflict with this device's edit, on the server's current version. */
  keepMine(key) {
    const mine = this.conflicts.get(key);
    if (mine) this.edit(key, mine.op, mine.value);
  }

  takeTheirs(key) {
    this.conflicts.delete(key);
  }

  /** Handles `welcome`. Returns the same as `receive`. */
  connected({ patch, identity, merged = [], known_since_ms }) {
    const events = [];
    if (this.identity && identity !== this.identity) this.#changeIdentity(merged.includes(this.identity), events);
    else if (this.knownSince_ms && known_since_ms !== this.knownSince_ms) this.#forgotten(events);
    this.identity = identity;
    this.knownSince_ms = known_since_ms;
    this.next = Math.max(this.next, patch + 1);
    this.#epochIsConfirmed = this.position === null;
    for (const patch of this.sent.values()) patch.basesTried = 0;
    const send = [this.#open(), ...(this.#epochIsConfirmed ? this.#sentMessages() : []), ...this.flush()];
    return { send, events, later: [] };
  }

  /** Numbers the waiting edits that may be sent now, and returns their messages. */
  flush() {
    const messages = [];
    if (!this.#epochIsConfirmed) return messages;
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

  /** The lowest unanswered patch number, or the next one. */
  #oldest() {
    let oldest = this.next;
    for (const { id } of this.sent.values()) oldest = Math.min(oldest, id);
    return oldest;
  }

  /** Handles a message. Returns the messages to `send`, the `events`, and messages to send `later` with their `delay_ms`. */
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
    if (reset) this.#reset(epoch, shared, events);
    const fresh = records.filter((record) => this.#store(record) && record.device !== this.id);
    this.position = { epoch, version: to };
    if (fresh.length > 0) events.push({ kind: 'got', version: to, records: fresh });
    for (const key of this.conflicts.keys()) this.#resolveIfEqual(key, events);
    if (!this.#epochIsConfirmed) {
      this.#epochIsConfirmed = true;
      send.push(...this.#sentMessages());
    }
    if (more) return;
    send.push(this.#ack());
    this.#addOffers(events);
  }

  #written({ id, version, records }, { send, events }) {
    const patch = this.#takeAnswered(id);
    if (!patch) return;
    const { key, op, value } = patch.change;
    events.push({ kind: 'wrote', key, version });
    // The version may be one of the merged identity's: opening the dataset again tells.
    if (patch.isFromMergedIdentity) return void send.push(this.#open());
    const own = { put: { key, value }, remove: { key, removed: true } }[op];
    for (const record of own ? [{ ...own, version, device: this.id }] : (records ?? [])) this.#store(record);
    if (this.position?.version === version - 1) {
      this.position.version = version;
      send.push(this.#ack());
    }
  }

  #conflict({ id, records }, { events }) {
    const change = this.#takeAnswered(id)?.change;
    if (!change) return;
    const { key } = change;
    for (const record of records) this.#store(record);
    const newer = this.waiting.get(key);
    this.waiting.delete(key);
    this.conflicts.set(key, newer ? coalesce(change, newer, change.base) : change);
    events.push({ kind: 'conflict', key, device: this.records.get(key)?.device });
    this.#resolveIfEqual(key, events);
  }

  #refused({ id, code, message }, { send, events, later }) {
    if (code === 'ahead_of_server') send.push(this.#open());
    const patch = [...this.sent.values()].find((patch) => patch.id === id);
    if (RETRYABLE.has(code) && patch) {
      later.push({ delay_ms: RETRY_MS, message: this.#write(patch) });
    } else if (RETRYABLE.has(code) && id === undefined) {
      later.push({ delay_ms: RETRY_MS, message: code === 'read_only' ? this.#ack() : this.#open() });
    } else if (patch && code === 'patch_reused' && (patch.basesTried ?? 0) < (patch.earlierBases?.length ?? 0)) {
      patch.basesTried = (patch.basesTried ?? 0) + 1;
      send.push(this.#write(patch));
    } else if (patch) {
      const { change } = this.#takeAnswered(id);
      if (this.#mayWriteAgain(code, change)) this.waiting.set(change.key, this.#withNewer(change));
      else events.push({ kind: 'refused', key: change.key, code, message });
    } else {
      events.push({ kind: 'refused', code, message });
    }
  }

  /** An expired `put` or `remove` can be repeated, because a device does not conflict with itself. An `add` could count twice. */
  #mayWriteAgain(code, { op }) {
    return code === 'patch_reused' || (code === 'patch_expired' && op !== 'add');
  }

  #withNewer(change) {
    const newer = this.waiting.get(change.key);
    return newer ? coalesce(change, newer, change.base) : change;
  }

  /** The server has no outcome of this device's patches any more. It gets them again, but an `add` could count twice (PROTOCOL.md §8). */
  #forgotten(events) {
    for (const { id, change } of [...this.sent.values()].filter(({ change }) => change.op === 'add')) {
      this.#takeAnswered(id);
      events.push({ kind: 'refused', key: change.key, code: 'patch_expired', message: 'the server had forgotten this device' });
    }
  }

  /** The session has another identity. Unless the old one was merged into it, no data of the old one may reach it. */
  #changeIdentity(merged, events) {
    if (merged) {
      this.#lowerBases(0);
      for (const patch of this.sent.values()) patch.isFromMergedIdentity = true;
      this.previous.merge(this.records);
      this.#discardEdited();
    } else {
      for (const edits of [this.waiting, this.sent, this.conflicts]) edits.clear();
      this.previous = new PreviousReplica();
    }
    this.records.clear();
    this.position = null;
    events.push({ kind: merged ? 'moved' : 'another person' });
  }

  #reset(epoch, shared, events) {
    if (this.position && this.position.epoch !== epoch) {
      this.#lowerBases(shared ?? 0);
      this.previous.restore(this.records, shared);
      this.#discardEdited();
    }
    this.records.clear();
    events.push({ kind: 'reset' });
  }

  /** Lowers bases to `shared`: a higher version means something else in the new epoch, and the person has not seen what was written after `shared`. */
  #lowerBases(shared) {
    for (const [key, change] of this.waiting) if (change.base > shared) this.waiting.set(key, { ...change, base: shared });
    for (const patch of this.sent.values()) {
      if (!(patch.change.base > shared)) continue;
      patch.earlierBases = [...(patch.earlierBases ?? []), patch.change.base];
      patch.change = { ...patch.change, base: shared };
    }
  }

  /** Unanswered and conflicting edits are newer than the records of the previous replica. */
  #discardEdited() {
    for (const edits of [this.waiting, this.sent, this.conflicts]) for (const key of edits.keys()) this.previous.discard(key);
  }

  /** The new replica is complete: offers what only the previous one has. */
  #addOffers(events) {
    const { previous } = this;
    const offers = previous.offers(this.records);
    this.previous = new PreviousReplica();
    for (const change of offers) this.waiting.set(change.key, { ...change, offer: true });
    if (previous.restored) events.push({ kind: 'restored', shared: previous.shared, offered: offers.length });
  }

  #store(record) {
    if (record.version <= (this.records.get(record.key)?.version ?? 0)) return false;
    this.records.set(record.key, record);
    return true;
  }

  /** Two equal values are not a conflict. */
  #resolveIfEqual(key, events) {
    const theirs = this.records.get(key)?.value;
    const mine = applyChange(theirs, this.conflicts.get(key));
    if (!equal(mine, theirs)) return;
    this.conflicts.delete(key);
    events.push({ kind: 'settled', key });
  }

  /** The base of an edit: the version of the record, or the position if there is no record. */
  #base(key) {
    const record = this.records.get(key);
    return record && !record.removed ? record.version : Math.max(record?.version ?? 0, this.version);
  }

  #takeAnswered(id) {
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

  /** The messages of all sent patches, the oldest first. */
  #sentMessages() {
    return [...this.sent.values()].sort((a, b) => a.id - b.id).map((patch) => this.#write(patch));
  }

  #write({ id, change: { offer, ...change }, earlierBases = [], basesTried = 0 }) {
    const base = earlierBases[earlierBases.length - basesTried];
    const changes = [base === undefined ? change : { ...change, base }];
    return { type: 'write', id, dataset: this.dataset, changes, ...(offer && { offer }) };
  }

  #ack() {
    return { type: 'ack', dataset: this.dataset, version: this.version };
  }
}
