//! A journaled engine over a tree in memory, and numbered commits.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fake_tree::FakeTree;
use super::*;
use crate::store::engine::layout;

/// Bytes of rows that fill a memtable.
pub(super) const MEMTABLE_BYTES: usize = 10_000;

pub(super) struct JournaledFixture {
    pub folder: tempfile::TempDir,
    pub tree: FakeTree,
    pub has_space: Arc<AtomicBool>,
    pub panicked: Arc<AtomicBool>,
}

impl JournaledFixture {
    pub(super) fn new() -> JournaledFixture {
        JournaledFixture {
            folder: tempfile::tempdir().expect("folder"),
            tree: FakeTree::default(),
            has_space: Arc::new(AtomicBool::new(true)),
            panicked: Arc::default(),
        }
    }

    pub(super) fn open(&self) -> JournaledTree {
        self.open_at(self.folder.path(), self.tree.clone())
    }

    pub(super) fn open_at(&self, folder: &Path, tree: FakeTree) -> JournaledTree {
        self.try_open(folder, tree, true).expect("opens")
    }

    /// An engine over a tree, with memtables of other sizes.
    pub(super) fn open_sized(&self, tree: Box<dyn Tree>, memtable_bytes: usize) -> JournaledTree {
        let thresholds = FlushThresholds { memtable_bytes, journal_bytes: 8 << 20 };
        let check_space = Box::new(|| Ok(()));
        let options = JournalOptions { thresholds, is_written_once, check_space, refuses_gaps: true, panicked: Arc::default() };
        JournaledTree::open(self.folder.path(), tree, options, |_| Ok(())).expect("opens")
    }

    pub(super) fn try_open(&self, folder: &Path, tree: FakeTree, refuses_gaps: bool) -> Result<JournaledTree, EngineError> {
        let has_space = Arc::clone(&self.has_space);
        let check_space = move || if has_space.load(Ordering::SeqCst) { Ok(()) } else { Err(EngineError::Full("no space".to_owned())) };
        let thresholds = FlushThresholds { memtable_bytes: MEMTABLE_BYTES, journal_bytes: 1 << 20 };
        let (check_space, panicked) = (Box::new(check_space), Arc::clone(&self.panicked));
        let options = JournalOptions { thresholds, is_written_once, check_space, refuses_gaps, panicked };
        JournaledTree::open(folder, Box::new(tree), options, |_| Ok(()))
    }

    /// A copy of the files and the tree as they are now, which is what a crash would leave.
    pub(super) fn copy_as_crashed(&self) -> (tempfile::TempDir, FakeTree) {
        let folder = tempfile::tempdir().expect("folder");
        for name in layout::JOURNAL {
            std::fs::copy(self.folder.path().join(name), folder.path().join(name)).expect("copies");
        }
        let tree = FakeTree::default();
        tree.state().rows = self.tree.state().rows.clone();
        (folder, tree)
    }
}

fn is_written_once(key: &[u8]) -> bool {
    key.starts_with(b"once")
}

/// The nth commit: a row of its own, a row that every commit sets, a row that odd commits set and even ones delete, a row that a later commit
/// deletes for ever, and the commit count.
pub(super) fn batch(n: u32) -> RowBatch {
    let value = |n: u32| Some(n.to_be_bytes().to_vec());
    vec![
        (format!("k{n:04}").into_bytes(), value(n)),
        (b"head".to_vec(), value(n)),
        (b"odd".to_vec(), value(n).filter(|_| n % 2 == 1)),
        (format!("once{n:04}").into_bytes(), value(n)),
        (format!("once{:04}", n.wrapping_sub(3)).into_bytes(), None),
        (commit_counter::COUNT_KEY.to_vec(), Some(u64::from(n + 1).to_be_bytes().to_vec())),
    ]
}

pub(super) fn rows(commits: std::ops::Range<u32>) -> Vec<(Bytes, Bytes)> {
    let mut rows = BTreeMap::new();
    for (key, row) in commits.flat_map(batch) {
        match row {
            Some(row) => drop(rows.insert(key, row)),
            None => drop(rows.remove(&key)),
        }
    }
    rows.into_iter().collect()
}

pub(super) fn check(engine: &JournaledTree, commits: std::ops::Range<u32>) {
    let expected = rows(commits);
    if expected.is_empty() {
        return;
    }
    assert_eq!(engine.scan(b"", b"\xff", usize::MAX).expect("scans"), expected);
    for limit in [1, 2, 3, 7] {
        assert_eq!(engine.scan(b"head", b"\xff", limit).expect("scans")[..], expected[1..][..limit.min(expected.len() - 1)]);
    }
    for (key, row) in expected {
        assert_eq!(engine.get(&key).expect("reads"), Some(row));
    }
    assert_eq!(engine.get(b"none").expect("reads"), None);
}

/// Commits until the flusher has written half of a memtable to the tree. Returns the next commit's number.
pub(super) fn commit_until_half_flushed(fixture: &JournaledFixture, engine: &JournaledTree) -> u32 {
    commit_until_half_flushed_from(fixture, engine, 0)
}

pub(super) fn commit_until_half_flushed_from(fixture: &JournaledFixture, engine: &JournaledTree, first: u32) -> u32 {
    fixture.tree.hold(true);
    let mut next = first;
    while !engine.shared.memtables.has_immutable() {
        engine.write(batch(next)).expect("commits");
        next += 1;
    }
    fixture.tree.wait_until_half_flushed();
    next
}
