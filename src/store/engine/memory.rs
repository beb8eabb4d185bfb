//! An engine in memory with fault injection, for tests of the code above it.
//!
//! A [`Memory`] is the storage: it can be shared and opened again. The rows of a commit become visible and durable at once, when its flush
//! succeeds.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::batch::{Bytes, RowBatch};
use super::error::EngineError;
use super::frame;
use super::row_store::RowStore;

/// Where a fault can be injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FaultPoint {
    /// Opening the engine, again or for the first time.
    Open,
    /// A read of one row.
    Get,
    /// A read of a range.
    Scan,
    /// A commit, before anything of it is applied.
    Commit,
    /// A commit, before its rows are durable.
    Flush,
    /// A commit, after it is durable: only its answer is lost.
    Answer,
    /// A commit, before it reaches the engine: the disk is full.
    Space,
}

/// When an injected fault occurs.
#[derive(Clone, Copy, Debug)]
enum FaultTrigger {
    /// The nth time from now, once.
    Nth(u64),
    /// Every time until the faults are cleared.
    Always,
    /// The next time, by a panic.
    Panic,
}

/// Shared by its clones; freed with the last of them.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<MemoryState>>, Arc<Condvar>);

#[derive(Default)]
struct MemoryState {
    /// In their frames.
    rows: BTreeMap<Bytes, Bytes>,
    faults: BTreeMap<FaultPoint, FaultTrigger>,
    holds_flushes: bool,
    /// Commits that wait for their flush.
    held: usize,
}

impl Memory {
    /// Makes the nth call from now on fail at this point, once; the next call is the first.
    pub(crate) fn fail_nth(&self, point: FaultPoint, nth: u64) {
        self.state().faults.insert(point, FaultTrigger::Nth(nth));
    }

    /// Makes every call fail at this point until [`Memory::clear_faults`].
    pub(crate) fn fail_always(&self, point: FaultPoint) {
        self.state().faults.insert(point, FaultTrigger::Always);
    }

    /// Makes the next call panic at this point.
    pub(crate) fn panic_next(&self, point: FaultPoint) {
        self.state().faults.insert(point, FaultTrigger::Panic);
    }

    pub(crate) fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// From now on the flush of a commit waits until [`Memory::release_flushes`].
    pub(crate) fn hold_flushes(&self) {
        self.state().holds_flushes = true;
    }

    /// Waits until a commit waits for its flush.
    pub(crate) fn wait_for_held_flush(&self) {
        drop(self.1.wait_while(self.state(), |state| state.held == 0).unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn release_flushes(&self) {
        self.state().holds_flushes = false;
        self.1.notify_all();
    }

    /// Flips a bit of a stored row. Returns whether the row exists.
    pub(crate) fn damage(&self, key: &[u8]) -> bool {
        let mut state = self.state();
        state.rows.get_mut(key).is_some_and(|row| row.last_mut().map(|byte| *byte ^= 1).is_some())
    }

    /// Opens the storage.
    pub(super) fn open(&self) -> Result<Box<dyn RowStore>, EngineError> {
        self.state().hit(FaultPoint::Open)?;
        Ok(Box::new(self.clone()))
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryState {
    /// Fails if a fault is due at this point.
    fn hit(&mut self, point: FaultPoint) -> Result<(), EngineError> {
        match self.faults.get_mut(&point) {
            None => return Ok(()),
            Some(FaultTrigger::Always) => {}
            Some(FaultTrigger::Nth(remaining)) if *remaining > 1 => {
                *remaining -= 1;
                return Ok(());
            }
            Some(FaultTrigger::Nth(_)) => {
                self.faults.remove(&point);
            }
            Some(FaultTrigger::Panic) => {
                self.faults.remove(&point);
                panic!("{point:?} was made to panic");
            }
        }
        let why = format!("{point:?} was made to fail");
        Err(match point {
            FaultPoint::Open => EngineError::Open(why),
            FaultPoint::Space => EngineError::Full(why),
            FaultPoint::Get | FaultPoint::Scan | FaultPoint::Commit | FaultPoint::Flush | FaultPoint::Answer => EngineError::Io(why),
        })
    }

    fn get_row(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.rows.get(key).map(|row| frame::decode(key, row)).transpose()
    }
}

impl RowStore for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let mut state = self.state();
        state.hit(FaultPoint::Get)?;
        state.get_row(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let mut state = self.state();
        state.hit(FaultPoint::Scan)?;
        if start >= end {
            return Ok(Vec::new());
        }
        let range = state.rows.range(start.to_vec()..end.to_vec()).take(limit);
        range.map(|(key, row)| Ok((key.clone(), frame::decode(key, row)?))).collect()
    }

    fn write(&self, rows: RowBatch) -> Result<(), EngineError> {
        let mut state = self.state();
        state.hit(FaultPoint::Space)?;
        state.hit(FaultPoint::Commit)?;
        let encode = |(key, row): (Bytes, Option<Bytes>)| Ok((row.map(|row| frame::encode(&key, &row)).transpose()?, key));
        let encoded: Vec<(Option<Bytes>, Bytes)> = rows.into_iter().map(encode).collect::<Result<_, EngineError>>()?;
        state.held += 1;
        self.1.notify_all();
        state = self.1.wait_while(state, |state| state.holds_flushes).unwrap_or_else(PoisonError::into_inner);
        state.held -= 1;
        state.hit(FaultPoint::Flush)?;
        for (row, key) in encoded {
            match row {
                Some(row) => state.rows.insert(key, row),
                None => state.rows.remove(&key),
            };
        }
        state.hit(FaultPoint::Answer)
    }

    fn bytes_on_disk(&self) -> Result<u64, EngineError> {
        Ok(self.state().rows.iter().map(|(key, row)| (key.len() + row.len()) as u64).sum())
    }
}
