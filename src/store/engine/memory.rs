//! An engine in memory with fault injection, for tests of the code above it.
//!
//! A [`Memory`] is the storage: it can be shared, crashed, and opened again. The rows of a commit are visible at once; they survive a crash
//! only if the commit's flush succeeded.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::batch::{Batch, Bytes, Committed};
use super::contract::Engine;
use super::error::EngineError;
use super::resolve::{ResolvedCommit, resolve};
use super::{commit_counter, frame};

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
    /// A commit, after its rows are visible and before they are durable.
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
    /// The visible rows, in their frames.
    rows: BTreeMap<Bytes, Bytes>,
    durable: BTreeMap<Bytes, Bytes>,
    unflushed: Vec<(Bytes, Option<Bytes>)>,
    faults: BTreeMap<FaultPoint, FaultTrigger>,
    holds_flushes: bool,
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

    /// From now on the rows of a commit become visible, and its flush waits until [`Memory::release_flushes`].
    pub(crate) fn hold_flushes(&self) {
        self.state().holds_flushes = true;
    }

    pub(crate) fn release_flushes(&self) {
        self.state().holds_flushes = false;
        self.1.notify_all();
    }

    /// Drops all rows that were not flushed, as a loss of power does.
    pub(crate) fn crash(&self) {
        let mut state = self.state();
        state.unflushed.clear();
        state.rows = state.durable.clone();
    }

    /// Flips a bit of a stored row. Returns whether the row exists.
    pub(crate) fn damage(&self, key: &[u8]) -> bool {
        let mut state = self.state();
        let MemoryState { rows, durable, .. } = &mut *state;
        let flip = |row: &mut Bytes| row.last_mut().map(|byte| *byte ^= 1).is_some();
        let is_found = rows.get_mut(key).is_some_and(flip);
        durable.get_mut(key).is_some_and(flip) || is_found
    }

    /// All visible rows except the engine's own.
    pub(crate) fn rows(&self) -> BTreeMap<Bytes, Bytes> {
        let payload = |(key, row): (&Bytes, &Bytes)| Some((key.clone(), frame::decode(key, row).ok()?));
        self.state().rows.range(commit_counter::FIRST_STORE_KEY.to_vec()..).filter_map(payload).collect()
    }

    /// Opens the storage as an engine, with the rows that are durable.
    pub(crate) fn open(&self) -> Result<Box<dyn Engine>, EngineError> {
        self.state().hit(FaultPoint::Open)?;
        self.crash();
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

    fn set(rows: &mut BTreeMap<Bytes, Bytes>, key: Bytes, row: Option<Bytes>) {
        match row {
            Some(row) => rows.insert(key, row),
            None => rows.remove(&key),
        };
    }

    fn flush(&mut self) {
        for (key, row) in std::mem::take(&mut self.unflushed) {
            MemoryState::set(&mut self.durable, key, row);
        }
    }
}

impl Engine for Memory {
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

    fn commit(&self, batches: Vec<Batch>) -> Result<Vec<Committed>, EngineError> {
        let mut state = self.state();
        state.hit(FaultPoint::Space)?;
        state.hit(FaultPoint::Commit)?;
        let ResolvedCommit { outcomes, rows } = resolve(batches, |key| state.get_row(key))?;
        let encode = |(key, row): &(Bytes, Option<Bytes>)| row.as_ref().map(|row| frame::encode(key, row)).transpose();
        let encoded: Vec<Option<Bytes>> = rows.iter().map(encode).collect::<Result<_, _>>()?;
        for ((key, _), row) in rows.into_iter().zip(encoded) {
            MemoryState::set(&mut state.rows, key.clone(), row.clone());
            state.unflushed.push((key, row));
        }
        state = self.1.wait_while(state, |state| state.holds_flushes).unwrap_or_else(PoisonError::into_inner);
        state.hit(FaultPoint::Flush)?;
        state.flush();
        state.hit(FaultPoint::Answer)?;
        Ok(outcomes)
    }

    fn bytes_on_disk(&self) -> Result<u64, EngineError> {
        Ok(self.state().durable.iter().map(|(key, row)| (key.len() + row.len()) as u64).sum())
    }
}
