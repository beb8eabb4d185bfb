//! An engine in memory that fails when it is told to, for tests of whatever stands above it.
//!
//! A [`Memory`] is the storage: it can be shared, crashed, and opened again. What a commit applied is seen at once; it stays after a crash
//! only if its flush succeeded.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::contract::Engine;
use super::resolve::{Resolved, resolve};
use super::{Batch, Bytes, Committed, EngineError, frame};

/// Where a call can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    /// Opening it, again or for the first time.
    Open,
    /// A read of rows.
    Get,
    /// A read of a range.
    Scan,
    /// A commit, before anything of it is applied.
    Commit,
    /// A commit, when it is applied and seen, and not durable.
    Flush,
    /// A commit, when it is durable: only its answer is lost.
    Answer,
    /// A commit, before the engine hears of it: the disk is full.
    Space,
}

/// When it fails.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The nth time from now, once.
    Nth(u64),
    /// Every time until it is mended.
    Always,
    /// The next time, by a panic.
    Panic,
}

/// Storage that lives as long as somebody holds it.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Inner>>, Arc<Condvar>);

#[derive(Default)]
struct Inner {
    rows: BTreeMap<Bytes, Bytes>,
    durable: BTreeMap<Bytes, Bytes>,
    unflushed: Vec<(Bytes, Option<Bytes>)>,
    faults: BTreeMap<Call, Fault>,
    held: bool,
}

impl Memory {
    /// Makes the nth call of a kind from now on fail, once; the next one is the first.
    pub(crate) fn fail_nth(&self, call: Call, nth: u64) {
        self.inner().faults.insert(call, Fault::Nth(nth));
    }

    /// Makes every call of a kind fail until [`Memory::mend`].
    pub(crate) fn fail_always(&self, call: Call) {
        self.inner().faults.insert(call, Fault::Always);
    }

    /// Makes the next call of a kind panic.
    pub(crate) fn panic_next(&self, call: Call) {
        self.inner().faults.insert(call, Fault::Panic);
    }

    /// Nothing fails any more.
    pub(crate) fn mend(&self) {
        self.inner().faults.clear();
    }

    /// From now on commits are applied and seen, and wait with their flush until [`Memory::release`].
    pub(crate) fn hold(&self) {
        self.inner().held = true;
    }

    /// Flushes go on.
    pub(crate) fn release(&self) {
        self.inner().held = false;
        self.1.notify_all();
    }

    /// Drops all that was not flushed, as a loss of power does.
    pub(crate) fn crash(&self) {
        let mut inner = self.inner();
        inner.unflushed.clear();
        inner.rows = inner.durable.clone();
    }

    /// Flips a bit of a stored row. Returns whether there is such a row.
    pub(crate) fn damage(&self, key: &[u8]) -> bool {
        let mut inner = self.inner();
        let Inner { rows, durable, .. } = &mut *inner;
        let flip = |row: &mut Bytes| row.last_mut().map(|byte| *byte ^= 1).is_some();
        let found = rows.get_mut(key).is_some_and(flip);
        durable.get_mut(key).is_some_and(flip) || found
    }

    /// All rows that are visible now, but those of the engine's own.
    pub(crate) fn rows(&self) -> BTreeMap<Bytes, Bytes> {
        let payload = |(key, row): (&Bytes, &Bytes)| Some((key.clone(), frame::open(key, row).ok()?));
        self.inner().rows.range(super::commits::FIRST.to_vec()..).filter_map(payload).collect()
    }

    /// Opens it as an engine: it finds what is durable.
    pub(crate) fn open(&self) -> Result<Box<dyn Engine>, EngineError> {
        self.inner().meet(Call::Open)?;
        self.crash();
        Ok(Box::new(self.clone()))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Fails if this call is to.
    fn meet(&mut self, call: Call) -> Result<(), EngineError> {
        match self.faults.get_mut(&call) {
            None => return Ok(()),
            Some(Fault::Always) => {}
            Some(Fault::Nth(left)) if *left > 1 => {
                *left -= 1;
                return Ok(());
            }
            Some(Fault::Nth(_)) => {
                self.faults.remove(&call);
            }
            Some(Fault::Panic) => {
                self.faults.remove(&call);
                panic!("{call:?} was made to panic");
            }
        }
        let why = format!("{call:?} was made to fail");
        Err(match call {
            Call::Open => EngineError::Open(why),
            Call::Space => EngineError::Full(why),
            Call::Get | Call::Scan | Call::Commit | Call::Flush | Call::Answer => EngineError::Io(why),
        })
    }

    fn one(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.rows.get(key).map(|row| frame::open(key, row)).transpose()
    }

    fn set(rows: &mut BTreeMap<Bytes, Bytes>, key: Bytes, row: Option<Bytes>) {
        match row {
            Some(row) => rows.insert(key, row),
            None => rows.remove(&key),
        };
    }

    fn flush(&mut self) {
        for (key, row) in std::mem::take(&mut self.unflushed) {
            Inner::set(&mut self.durable, key, row);
        }
    }
}

impl Engine for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let mut inner = self.inner();
        inner.meet(Call::Get)?;
        inner.one(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let mut inner = self.inner();
        inner.meet(Call::Scan)?;
        if start >= end {
            return Ok(Vec::new());
        }
        let range = inner.rows.range(start.to_vec()..end.to_vec()).take(limit);
        range.map(|(key, row)| Ok((key.clone(), frame::open(key, row)?))).collect()
    }

    fn commit(&self, batches: Vec<Batch>) -> Result<Vec<Committed>, EngineError> {
        let mut inner = self.inner();
        inner.meet(Call::Space)?;
        inner.meet(Call::Commit)?;
        let Resolved { done, rows } = resolve(batches, |key| inner.one(key))?;
        let seal = |(key, row): &(Bytes, Option<Bytes>)| row.as_ref().map(|row| frame::seal(key, row)).transpose();
        let sealed: Vec<Option<Bytes>> = rows.iter().map(seal).collect::<Result<_, _>>()?;
        for ((key, _), row) in rows.into_iter().zip(sealed) {
            Inner::set(&mut inner.rows, key.clone(), row.clone());
            inner.unflushed.push((key, row));
        }
        inner = self.1.wait_while(inner, |inner| inner.held).unwrap_or_else(PoisonError::into_inner);
        inner.meet(Call::Flush)?;
        inner.flush();
        inner.meet(Call::Answer)?;
        Ok(done)
    }

    fn bytes_on_disk(&self) -> Result<u64, EngineError> {
        Ok(self.inner().durable.iter().map(|(key, row)| (key.len() + row.len()) as u64).sum())
    }
}
