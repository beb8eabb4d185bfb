// What a device had before its history changed, and what of it is offered again (PROTOCOL.md §8). Pure.
//
// - A restored backup has lost what came after `shared`: each record and tombstone above it that is not there now is offered.
// - A merge took what was free: only what both sides have, and differs, is offered. What is missing now was removed since.

import { equal } from './change.js';

export class Former {
  constructor({ restored = false, shared, had, merged } = {}) {
    this.restored = restored;
    this.shared = shared;
    this.had = new Map(had);
    this.merged = new Map(merged);
  }

  saved() {
    return { restored: this.restored, shared: this.shared, had: [...this.had], merged: [...this.merged] };
  }

  /** The store was restored; no `shared`: it has nothing in common. */
  restore(records, shared) {
    if (shared === undefined) this.had.clear();
    else if (this.shared === undefined) this.had = new Map(records);
    else this.#addHalf(records, shared);
    this.shared = shared === undefined ? undefined : Math.min(this.shared ?? shared, shared);
    this.restored = true;
  }

  /** A history that was only half there is lost too: of it counts what the newest has not. What it shared with the older one is known better there. */
  #addHalf(records, shared) {
    for (const [key, record] of records) {
      const newer = record.version > this.shared || record.version > (this.had.get(key)?.version ?? 0);
      if (record.version > shared && newer) this.had.set(key, record);
    }
  }

  /** The identity was merged into another. */
  merge(records) {
    const lost = [...this.had].filter(([, { version }]) => version > this.shared);
    for (const [key, record] of [...lost, ...records]) if (!record.removed) this.merged.set(key, record.value);
    this.had.clear();
    this.shared = undefined;
    this.restored = false;
  }

  /** A newer edit of the key is there. */
  overtake(key) {
    this.had.delete(key);
    this.merged.delete(key);
  }

  /** Compares it with what is there now. */
  offers(records) {
    const offers = new Map();
    for (const [key, value] of this.merged) {
      const now = records.get(key)?.value;
      if (now !== undefined && !equal(value, now)) offers.set(key, { key, op: 'put', value, base: 0 });
    }
    for (const [key, { version, removed, value }] of this.had) {
      const now = records.get(key);
      // A removal also where there is no record at all: another device may still have one, which it would offer as new.
      const isThere = removed ? now?.removed === true : equal(value, now?.value);
      if (version <= this.shared || isThere) continue;
      offers.set(key, removed ? { key, op: 'remove', base: this.shared } : { key, op: 'put', value, base: this.shared });
    }
    return [...offers.values()];
  }
}
