//! What a dataset's head and its identity's row count is what is there, whatever was done: the bounds are decided by these counts alone.

use driftless_protocol::{Change, Content, Op, Value};

use super::erasing::finish_job;
use super::merging::{begin, guest};
use super::reaping::reap;
use crate::merge::ConflictPolicy;
use crate::store::keys::{self, KeyParts, RowKind};
use crate::store::owned_bytes::STEP_BYTES;
use crate::store::row_source::RowSource;
use crate::store::rows::{self, HeadRow, PointerRow, TombstoneRow};
use crate::store::support::{CONFIG, all_of, dataset, device, epoch, key, me, sign_in, store, write_at};
use crate::store::{DatasetRules, Identity, Patch, RetentionPolicy, Store, pieces};

/// Keys of the records: few, so that most steps replace, remove or add again what is there.
const KEYS: u64 = 12;

const STEPS: u64 = 60;

const SEEDS: u64 = 4;

/// Two identities with random contents.
struct Walk<'a> {
    store: &'a Store,
    chance: u64,
    now_ms: u64,
    patches: u64,
    rules: DatasetRules,
}

impl Walk<'_> {
    /// A number below a bound, the same in every run with the same seed (SplitMix64).
    fn chance(&mut self, bound: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn step(&mut self, identity: &Identity) {
        self.now_ms += self.chance(3_600_000);
        match self.chance(20) {
            0 => {
                self.now_ms += self.chance(20) * 24 * 3_600_000;
                reap(self.store, &self.rules.retention, self.now_ms);
            }
            1 => self.restore(identity),
            _ => self.write(identity),
        }
    }

    fn write(&mut self, identity: &Identity) {
        let names: std::collections::BTreeSet<u64> = (0..1 + self.chance(4)).map(|_| self.chance(KEYS)).collect();
        let changes = names.into_iter().map(|name| self.change(name)).collect();
        self.patches += 1;
        let device = device(&format!("device-{}", self.chance(3)));
        let patch = Patch { identity: identity.clone(), device, dataset: dataset(), id: self.patches, changes };
        // A wrong clock is corrected by the reaper.
        let at_ms = if self.chance(15) == 0 { self.now_ms + 40 * 24 * 3_600_000 } else { self.now_ms };
        write_at(self.store, &patch, &self.rules, at_ms);
    }

    fn change(&mut self, name: u64) -> Change {
        let name = key(&format!("{name}{}", "-".repeat(name as usize * 20)));
        // Now and then of several pieces.
        let bytes = [3, 200, 5_000, 70_000, 300_000][self.chance(5) as usize];
        let op = if self.chance(3) == 0 { Op::Remove } else { Op::Put };
        let base = (self.chance(3) == 0).then(|| self.chance(1 + self.patches));
        Change { base, ..Change::new(name, op, (op == Op::Put).then(|| Value::from("x".repeat(bytes)))) }
    }

    /// Restores some version, and leaves out its last parts now and then.
    fn restore(&mut self, identity: &Identity) {
        let head = self.store.head(identity, &dataset()).expect("reads");
        let to = head.oldest_version + self.chance(1 + head.version - head.oldest_version);
        let Ok(plan) = self.store.rewind_plan(identity, &dataset(), to, self.now_ms).expect("reads") else { return };
        for part in 0..plan.parts() {
            let mut group = self.store.group();
            group.rewind_part(&plan, part, &self.rules.retention, self.now_ms).expect("decides");
            group.commit().expect("commits");
            if self.chance(4) == 0 {
                return;
            }
        }
    }
}

/// Checks every count of an identity against the rows.
fn check(store: &Store, identity: &Identity) {
    let mut counted_bytes = 0;
    for (head_key, row) in store.engine.all_of(&keys::heads(identity)).expect("reads") {
        let name = KeyParts::after(&head_key, &keys::heads(identity)).expect("a key").dataset().expect("a name");
        let head: HeadRow = rows::decode(&row).expect("a head");
        let of =
            |kind| (keys::of_dataset(kind, identity, &name), store.engine.all_of(&keys::of_dataset(kind, identity, &name)).expect("reads"));
        let (prefix, pointers) = of(RowKind::Pointer);
        let (mut records, mut bytes, mut tombstones, mut record_rows) = (0, 0, 0, 0);
        for (at, row) in pointers {
            let pointer: PointerRow = rows::decode(&row).expect("a pointer");
            let key_bytes = KeyParts::after(&at, &prefix).expect("a key").name().expect("a name").len() as u64;
            record_rows += usize::from(pointer.pieces);
            match pointer.value_bytes {
                Some(value_bytes) => (records, bytes) = (records + 1, bytes + key_bytes + value_bytes),
                None => tombstones += 1,
            }
        }
        let tombstone_rows = of(RowKind::Tombstone).1;
        let key_bytes = |row: &[u8]| rows::decode::<TombstoneRow>(row).expect("a tombstone").key.as_str().len() as u64;
        let tombstone_bytes = tombstone_rows.iter().map(|(_, row)| key_bytes(row)).sum::<u64>();
        let history_bytes = of(RowKind::History).1.iter().map(|(_, row)| pieces::part(row).expect("a part").1.len() as u64).sum::<u64>();
        assert_eq!(
            (head.records, head.bytes, head.tombstones, head.tombstone_bytes, head.history_bytes),
            (records, bytes, tombstones, tombstone_bytes, history_bytes),
            "{head:?}"
        );
        assert_eq!((tombstone_rows.len() as u64, of(RowKind::Record).1.len()), (tombstones, record_rows), "{head:?}");
        assert!(head.stored_bytes().abs_diff(head.counted_bytes) < STEP_BYTES, "{head:?}");
        counted_bytes += head.counted_bytes;
    }
    assert_eq!(store.owned_bytes(identity).expect("reads"), counted_bytes);
}

fn live(store: &Store, identity: &Identity) -> Vec<(String, Content)> {
    let records = all_of(store, identity).into_iter().filter(|record| record.content != Content::Removed);
    let mut live: Vec<_> = records.map(|record| (record.key.as_str().to_owned(), record.content)).collect();
    live.sort_by(|a, b| a.0.cmp(&b.0));
    live
}

#[test]
fn every_count_is_what_is_there_after_random_writes_restores_reapings_and_a_merge() {
    for seed in 1..=SEEDS {
        let folder = tempfile::tempdir().expect("a folder");
        let mut open = store(folder.path());
        sign_in(&open, "guest", &guest());
        let retention = RetentionPolicy { history_versions: seed * 7, history_bytes: 2_000_000, ..RetentionPolicy::default() };
        let rules = DatasetRules { retention, identity_bytes: u64::MAX, ..DatasetRules::default() };
        let (mut chance, mut now_ms, mut patches) = (seed, 1_790_000_000_000, 0);
        for round in 0..3 {
            let mut walk = Walk { store: &open, chance, now_ms, patches, rules };
            for step in 0..STEPS {
                let identity = if step % 3 == 0 { guest() } else { me() };
                walk.step(&identity);
                check(&open, &identity);
            }
            (chance, now_ms, patches) = (walk.chance, walk.now_ms, walk.patches);
            let before = [me(), guest()].map(|identity| live(&open, &identity));
            // What was in the memtables is in the tree from here on.
            drop(open);
            open = Store::open(folder.path(), &CONFIG, &epoch("unused")).expect("opens");
            assert_eq!([me(), guest()].map(|identity| live(&open, &identity)), before, "seed {seed}, round {round}");
        }
        begin(&open, if seed % 2 == 0 { ConflictPolicy::Reject } else { ConflictPolicy::LastWriterWins });
        finish_job(&open, &guest());
        check(&open, &me());
    }
}
