use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A tree in memory that can be made to wait, to fail or to panic when it is written.
#[derive(Clone, Default)]
struct Plain(Arc<Mutex<State>>, Arc<Condvar>);

#[derive(Default)]
struct State {
    rows: BTreeMap<Bytes, Bytes>,
    held: bool,
    waits: bool,
    fails: Option<EngineError>,
    panics: bool,
    /// The order in which keys were written.
    written: Vec<Bytes>,
}

impl Plain {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, held: bool) {
        self.state().held = held;
        self.1.notify_all();
    }

    /// Returns when the mover has written half of its rows, and waits.
    fn wait_until_half_moved(&self) {
        drop(self.1.wait_while(self.state(), |state| !state.waits).expect("not poisoned"));
    }
}

impl Tree for Plain {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.state().rows.get(key).cloned())
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let state = self.state();
        Ok(state.rows.range(start.to_vec()..end.to_vec()).take(limit).map(|(key, row)| (key.clone(), row.clone())).collect())
    }

    fn write(&self, rows: &[Row<'_>]) -> Result<(), EngineError> {
        for (n, (key, row)) in rows.iter().enumerate() {
            let mut state = self.state();
            if n == rows.len() / 2 {
                state.waits = state.held;
                self.1.notify_all();
                state = self.1.wait_while(state, |state| state.held).expect("not poisoned");
                state.waits = false;
            }
            if let Some(error) = &state.fails {
                return Err(error.clone());
            }
            if state.panics {
                drop(state);
                panic!("a page is damaged");
            }
            state.written.push(key.to_vec());
            match row {
                Some(row) => drop(state.rows.insert(key.to_vec(), row.to_vec())),
                None => drop(state.rows.remove(*key)),
            }
        }
        Ok(())
    }

    fn bytes_on_disk(&self) -> Result<u64, EngineError> {
        Ok(0)
    }
}

/// So many bytes of rows are a full layer.
const LAYER: usize = 3000;

struct Ground {
    folder: tempfile::TempDir,
    tree: Plain,
    room: Arc<AtomicBool>,
    panicked: Arc<AtomicBool>,
}

impl Ground {
    fn new() -> Ground {
        Ground {
            folder: tempfile::tempdir().expect("folder"),
            tree: Plain::default(),
            room: Arc::new(AtomicBool::new(true)),
            panicked: Arc::default(),
        }
    }

    fn open(&self) -> Journaled {
        self.open_at(self.folder.path(), self.tree.clone())
    }

    fn open_at(&self, folder: &Path, tree: Plain) -> Journaled {
        self.try_open(folder, tree, true).expect("opens")
    }

    fn try_open(&self, folder: &Path, tree: Plain, refuses_gaps: bool) -> Result<Journaled, EngineError> {
        let room = Arc::clone(&self.room);
        let room = move || if room.load(Ordering::SeqCst) { Ok(()) } else { Err(EngineError::Full("no room".to_owned())) };
        let bounds = Bounds { layer_bytes: LAYER, journal_bytes: 1 << 20 };
        let setting = Setting { bounds, room: Box::new(room), refuses_gaps, panicked: Arc::clone(&self.panicked) };
        Journaled::open(folder, Box::new(tree), setting, |_| Ok(()))
    }

    /// As a crash leaves it: the files and the tree of now.
    fn crashed(&self) -> (tempfile::TempDir, Plain) {
        let folder = tempfile::tempdir().expect("folder");
        for name in journal::FILES {
            std::fs::copy(self.folder.path().join(name), folder.path().join(name)).expect("copies");
        }
        let tree = Plain::default();
        tree.state().rows = self.tree.state().rows.clone();
        (folder, tree)
    }
}

/// The nth commit: a row of its own, one that is always set, one that comes and goes, the number of the commit.
fn batch(n: u32) -> Batch {
    let value = |n: u32| Some(n.to_be_bytes().to_vec());
    let rows = vec![
        (format!("k{n:04}").into_bytes(), value(n)),
        (b"head".to_vec(), value(n)),
        (b"odd".to_vec(), value(n).filter(|_| n % 2 == 1)),
        (commits::KEY.to_vec(), Some(u64::from(n + 1).to_be_bytes().to_vec())),
    ];
    Batch { guards: Vec::new(), rows }
}

fn rows(commits: std::ops::Range<u32>) -> Vec<(Bytes, Bytes)> {
    let mut rows = BTreeMap::new();
    for (key, row) in commits.flat_map(|n| batch(n).rows) {
        match row {
            Some(row) => drop(rows.insert(key, row)),
            None => drop(rows.remove(&key)),
        }
    }
    rows.into_iter().collect()
}

fn check(engine: &Journaled, commits: std::ops::Range<u32>) {
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

/// Commits until the mover has half of a layer in the tree. Returns the next commit's number.
fn commit_until_half_moved(ground: &Ground, engine: &Journaled) -> u32 {
    commit_until_half_moved_from(ground, engine, 0)
}

fn commit_until_half_moved_from(ground: &Ground, engine: &Journaled, first: u32) -> u32 {
    ground.tree.hold(true);
    let mut next = first;
    while engine.shared.layers().old.is_none() {
        engine.commit(vec![batch(next)]).expect("commits");
        next += 1;
    }
    ground.tree.wait_until_half_moved();
    next
}

#[test]
fn what_is_half_moved_is_not_seen() {
    let ground = Ground::new();
    let engine = ground.open();
    let next = commit_until_half_moved(&ground, &engine);
    assert!(!ground.tree.state().rows.is_empty());
    check(&engine, 0..next);
    engine.commit(vec![batch(next)]).expect("commits");
    check(&engine, 0..next + 1);
    ground.tree.hold(false);
    drop(engine);
    assert_eq!(ground.tree.state().rows.clone().into_iter().collect::<Vec<_>>(), rows(0..next + 1), "closing it moves all");
    check(&ground.open(), 0..next + 1);
}

#[test]
fn a_crash_in_the_middle_of_moving_loses_nothing() {
    let ground = Ground::new();
    let engine = ground.open();
    let next = commit_until_half_moved(&ground, &engine);
    engine.commit(vec![batch(next)]).expect("commits");
    let (folder, tree) = ground.crashed();
    ground.tree.hold(false);
    let again = ground.open_at(folder.path(), tree.clone());
    check(&again, 0..next + 1);
    again.commit(vec![batch(next + 1)]).expect("goes on");
    check(&again, 0..next + 2);
    drop(again);
    assert_eq!(tree.state().rows.clone().into_iter().collect::<Vec<_>>(), rows(0..next + 2));
}

#[test]
fn the_engines_own_rows_are_moved_last() {
    let ground = Ground::new();
    let engine = ground.open();
    (0..9).for_each(|n| drop(engine.commit(vec![batch(n)]).expect("commits")));
    drop(engine);
    let written = ground.tree.state().written.clone();
    assert_eq!(written.last(), Some(&commits::KEY.to_vec()));
    assert_eq!(written.iter().filter(|key| *key == b"head").count(), 1, "nine commits set it, it is moved once");
}

#[test]
fn a_mover_that_fails_is_told_by_the_next_commit_and_loses_nothing() {
    for (fails, panics) in [(Some(EngineError::Io("the disk is gone".to_owned())), false), (None, true)] {
        let ground = Ground::new();
        (ground.tree.state().fails, ground.tree.state().panics) = (fails.clone(), panics);
        let engine = ground.open();
        let done = (0..1000).map_while(|n| engine.commit(vec![batch(n)]).ok()).count() as u32;
        let told = engine.commit(vec![batch(done)]).expect_err("it is stuck");
        assert!(matches!(told, EngineError::Io(_)), "opening it again may help: {told}");
        check(&engine, 0..done);
        drop(engine);
        (ground.tree.state().fails, ground.tree.state().panics) = (None, false);
        let engine = ground.open();
        check(&engine, 0..done);
        engine.commit(vec![batch(done)]).expect("commits again");
        drop(engine);
        assert_eq!(ground.tree.state().rows.clone().into_iter().collect::<Vec<_>>(), rows(0..done + 1));
    }
}

#[test]
fn a_tree_that_panics_again_is_damaged() {
    let ground = Ground::new();
    ground.tree.state().panics = true;
    let mut done = 0;
    for is_damaged in [false, true, true] {
        let engine = ground.open();
        check(&engine, 0..done);
        let told = loop {
            match engine.commit(vec![batch(done)]) {
                Ok(_) => done += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(matches!(told, EngineError::Damaged(_)), is_damaged, "{told}");
    }
}

/// A crash in the middle of moving, after which one thing is missing that was there: the end of the older file, all of it, the end of the tree,
/// or it is another file. It is refused and nothing is changed, unless somebody accepts the loss.
#[test]
fn a_gap_between_the_files_and_the_tree_is_refused() {
    let ground = Ground::new();
    let engine = ground.open();
    (0..3).for_each(|n| drop(engine.commit(vec![batch(n)]).expect("commits")));
    drop(engine);
    let engine = ground.open();
    let next = commit_until_half_moved_from(&ground, &engine, 3);
    engine.commit(vec![batch(next)]).expect("commits");
    type Spoil = fn(&Path, &Plain);
    let older = |folder: &Path| {
        let generation = |path: &PathBuf| Journal::open(path.clone()).expect("opens").0.generation();
        journal::paths(folder).into_iter().min_by_key(generation).expect("two")
    };
    let spoils: [Spoil; 4] = [
        |older, _| cut(older, 5),
        |older, _| std::fs::write(older, b"").expect("writes"),
        |older, _| std::fs::remove_file(older).expect("is removed"),
        |_, tree| drop(tree.state().rows.remove(commits::KEY)),
    ];
    for (n, spoil) in spoils.into_iter().enumerate() {
        let (folder, tree) = ground.crashed();
        spoil(&older(folder.path()), &tree);
        let before = (contents(folder.path()), tree.state().rows.clone());
        let refused = ground.try_open(folder.path(), tree.clone(), true).err().unwrap_or_else(|| panic!("{n} is refused"));
        assert!(matches!(refused, EngineError::Damaged(_)), "{refused}");
        let mut after = (contents(folder.path()), tree.state().rows.clone());
        after.0.retain(|(name, bytes)| !bytes.is_empty() || before.0.iter().any(|(known, _)| known == name));
        assert_eq!(after, before, "nothing was moved");
        let accepted = ground.try_open(folder.path(), tree, false).expect("the loss is accepted");
        accepted.commit(vec![batch(next + 1)]).expect("commits");
        let newest = Some((next + 1).to_be_bytes().to_vec());
        assert_eq!(accepted.get(b"head").expect("reads"), newest);
    }
    ground.tree.hold(false);
}

fn cut(path: &Path, bytes: u64) {
    // The file is longer than its last record if it was used before.
    let (journal, _) = Journal::open(path.to_owned()).expect("opens");
    std::fs::OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(journal.length() - bytes)).expect("is cut");
}

fn contents(folder: &Path) -> Vec<(PathBuf, Bytes)> {
    journal::paths(folder).into_iter().filter_map(|path| Some((path.clone(), std::fs::read(path).ok()?))).collect()
}

/// Opened again and again, killed each time at another point: the order of the files holds.
#[test]
fn the_order_of_the_files_holds_over_many_crashes() {
    let mut ground = Ground::new();
    let mut done = 0;
    for round in 0..40 {
        let engine = ground.open();
        check(&engine, 0..done);
        for _ in 0..round {
            engine.commit(vec![batch(done)]).expect("commits");
            done += 1;
        }
        ground.tree.hold(round % 2 == 1);
        if round % 3 == 0 {
            engine.commit(vec![batch(done)]).expect("commits");
            done += 1;
        }
        // Nothing is being moved while the files are copied: it is done, or waits.
        while engine.shared.moving().is_busy() && !ground.tree.state().waits {
            std::thread::yield_now();
        }
        let (folder, tree) = ground.crashed();
        ground.tree.hold(false);
        drop(engine);
        ground = Ground { folder, tree, ..Ground::new() };
    }
    assert!(done > 500);
}

#[test]
fn without_room_commits_go_on_until_the_journal_is_full() {
    let ground = Ground::new();
    let engine = ground.open();
    ground.room.store(false, Ordering::SeqCst);
    let done = (0..1000).map_while(|n| engine.commit(vec![batch(n)]).ok()).count() as u32;
    assert!(matches!(engine.commit(vec![batch(done)]), Err(EngineError::Full(_))));
    assert!(ground.tree.state().rows.is_empty());
    check(&engine, 0..done);
    drop(engine);
    let engine = ground.open();
    check(&engine, 0..done);
    ground.room.store(true, Ordering::SeqCst);
    // The mover asks again by itself.
    let begun = std::time::Instant::now();
    while engine.commit(vec![batch(done)]).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it goes on");
        std::thread::yield_now();
    }
    check(&engine, 0..done + 1);
}
