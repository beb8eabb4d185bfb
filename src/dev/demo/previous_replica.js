// The records that a device had before its epoch or identity changed, and which of them it offers again (PROTOCOL.md §8). Pure.
//
// - After a restored backup the server lacks the versions above `shared`: each record and tombstone above it that the server lacks is offered.
// - A merge copied the records whose keys were free: only records that both sides have and that differ are offered. A missing record was removed since.

import { equal } from './change.js';

export class PreviousReplica {
  constructor({ restored = false, shared, records, merged } = {}) {
    this.restored = restored;
    this.shared = shared;
    this.records = new Map(records);
    this.merged = new Map(merged);
  }

  saved() {
    return { restored: this.restored, shared: this.shared, records: [...this.records], merged: [...this.merged] };
  }

  /** The server was restored from a backup. Without `shared` the two histories have nothing in common. */
  restore(records, shared) {
    if (shared === undefined) this.records.clear();
    else if (this.shared === undefined) this.records = new Map(records);
    else this.#addIncomplete(records, shared);
    this.shared = shared === undefined ? undefined : Math.min(this.shared ?? shared, shared);
    this.restored = true;
  }

  /** The epoch changed again before the replica was complete: adds its records that are newer than those of the replica before. */
  #addIncomplete(records, shared) {
    for (const [key, record] of records) {
      const newer = record.version > this.shared || record.version > (this.records.get(key)?.version ?? 0);
      if (record.version > shared && newer) this.records.set(key, record);
    }
  }

  /** The identity was merged into another one. */
  merge(records) {
    const lost = [...this.records].filter(([, { version }]) => version > this.shared);
    for (const [key, record] of [...lost, ...records]) if (!record.removed) this.merged.set(key, record.value);
    this.records.clear();
    this.shared = undefined;
    this.restored = false;
  }

  /** Drops a key, because there is a newer edit. */
  discard(key) {
    this.records.delete(key);
    this.merged.delete(key);
  }

  /** The changes to offer, given the current records. */
  offers(records) {
    const offers = new Map();
    for (const [key, value] of this.merged) {
      const current = records.get(key)?.value;
      if (current !== undefined && !equal(value, current)) offers.set(key, { key, op: 'put', value, base: 0 });
    }
    for (const [key, { version, removed, value }] of this.records) {
      const current = records.get(key);
      // A removal is offered even if there is no record: another device may still have one, and would offer it as new.
      const isPresent = removed ? current?.removed === true : equal(value, current?.value);
      if (version <= this.shared || isPresent) continue;
      offers.set(key, removed ? { key, op: 'remove', base: this.shared } : { key, op: 'put', value, base: this.shared });
    }
    return [...offers.values()];
  }
}
