//! The memtables of `src/store/engine`, over a tree that is read and written in several steps.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use shuttle::sync::{Mutex, MutexGuard};

#[allow(dead_code)]
#[path = "../../src/store/engine/batch.rs"]
mod batch;
#[allow(dead_code)]
#[path = "../../src/store/engine/error.rs"]
mod error;
#[allow(dead_code)]
#[path = "../../src/store/engine/memtable.rs"]
mod memtable;
#[allow(dead_code)]
#[path = "../../src/store/engine/memtables.rs"]
mod memtables;
#[path = "../../src/store/engine/open_scans.rs"]
mod open_scans;
#[path = "../../src/store/engine/packed_rows.rs"]
mod packed_rows;
#[path = "store_primitives.rs"]
mod primitives;
#[path = "../../src/store/engine/scan.rs"]
mod scan;
#[allow(dead_code)]
#[path = "../../src/store/engine/tree.rs"]
mod tree;

use batch::Bytes;
use error::EngineError;
use tree::{RowChange, Tree};

/// More than one chunk of a memtable has.
const ROWS: u8 = 70;

/// Memtables and a tree. Each commit sets all rows to its number.
pub struct TestStore {
    memtables: memtables::Memtables,
    tree: SteppedTree,
}

/// A memtable that is to be flushed.
pub struct Frozen(memtables::FrozenMemtable);

impl Default for TestStore {
    fn default() -> TestStore {
        TestStore { memtables: memtables::Memtables::new(memtable::Memtable::default(), None), tree: SteppedTree::default() }
    }
}

impl TestStore {
    pub fn commit(&self, number: u8) {
        self.memtables.apply(&(0..ROWS).map(|key| (vec![key], Some(vec![number]))).collect::<Vec<_>>(), |_| false);
    }

    pub fn rotate(&self) -> Frozen {
        Frozen(self.memtables.rotate())
    }

    /// As the flusher does it.
    pub fn flush(&self, frozen: Frozen) {
        if let Some(scans) = frozen.0.earlier_scans {
            scans.wait();
        }
        let rows: Vec<_> = frozen.0.memtable.rows.starting_at(&[]).collect();
        self.tree
            .write(&rows.iter().map(|(key, row)| (key.as_slice(), *row)).collect::<Vec<RowChange<'_>>>())
            .unwrap_or_else(|_| unreachable!("it never fails"));
        self.memtables.forget_immutable();
    }

    /// The number of the commit whose rows a scan found, all of them; 0: it found none.
    pub fn scan(&self) -> u8 {
        let rows = scan::scan(&self.memtables, &self.tree, &[0], &[u8::MAX], usize::MAX).unwrap_or_else(|_| unreachable!("it never fails"));
        let Some((_, first)) = rows.first() else { return 0 };
        assert!(rows.iter().map(|(key, _)| key[0]).eq(0..ROWS), "all of a commit or nothing");
        assert!(rows.iter().all(|(_, row)| row == first), "one state");
        first[0]
    }

    /// The number of the commit whose row is found; 0: it is not there.
    pub fn get(&self) -> u8 {
        let row = self.memtables.get(&self.tree, &[ROWS / 2]).unwrap_or_else(|_| unreachable!("it never fails"));
        row.map_or(0, |row| row[0])
    }
}

/// Reads and writes half of its rows at a time.
#[derive(Default)]
struct SteppedTree(Mutex<BTreeMap<Bytes, Bytes>>);

impl SteppedTree {
    fn rows(&self) -> MutexGuard<'_, BTreeMap<Bytes, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tree for SteppedTree {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.rows().get(key).cloned())
    }

    fn scan(&self, start: &[u8], end: &[u8], _: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let middle = [ROWS / 2];
        let part = |from: &[u8], to: &[u8]| -> Vec<(Bytes, Bytes)> {
            let rows = self.rows();
            rows.iter()
                .filter(|(key, _)| from <= key.as_slice() && key.as_slice() < to)
                .map(|(key, row)| (key.clone(), row.clone()))
                .collect()
        };
        Ok([part(start, &middle), part(start.max(&middle), end)].concat())
    }

    fn write(&self, rows: &[RowChange<'_>]) -> Result<(), EngineError> {
        for half in rows.chunks(rows.len().div_ceil(2)) {
            let set = half.iter().filter_map(|(key, row)| Some((key.to_vec(), row.as_ref()?.to_vec())));
            self.rows().extend(set);
        }
        Ok(())
    }

    fn bytes_on_disk(&self) -> Result<u64, EngineError> {
        Ok(0)
    }
}
