//! The versioned datasets of every identity, in rows of one ordered key space.
//!
//! - Reads go straight to the engine, from any thread (`datasets`, `devices`, `logins`).
//! - Writes are decided in a [`Group`], one after the other, each on top of those before it, and committed together (`commit`).
//!   There is one group at a time: the committer's.
//! - What travels and what is stored are different types; `rows` converts.
//!
//! Never here: sockets, tasks, the hub, pushes. The time is an argument.

mod commit;
mod datasets;
mod devices;
mod engine;
mod keys;
mod logins;
mod pieces;
mod rows;
mod view;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use driftless_protocol::Epoch;

pub use commit::{Decision, Group, Patch, Rules};
pub use datasets::{Cursor, Page, Start};
pub use devices::Admission;
pub use engine::{Config, EngineError as StoreError, Kind as EngineKind};
pub use logins::LoginKey;
pub use rows::ConflictRow as Conflict;

#[cfg(test)]
pub(crate) use engine::memory;

/// One person or guest of a pool: `region:uuid`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(Arc<str>);

impl Identity {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Identity {
    fn from(text: &str) -> Identity {
        Identity(text.into())
    }
}

impl AsRef<[u8]> for Identity {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An open store; cheap to clone.
#[derive(Clone)]
pub struct Store {
    engine: Arc<engine::Handle>,
    epoch: Epoch,
}

impl Store {
    /// Opens or makes the store in a folder. `fresh_epoch` becomes its epoch if it is new.
    pub fn open(folder: &Path, config: &Config, fresh_epoch: &Epoch) -> Result<Store, StoreError> {
        Store::on(engine::Handle::open(folder, config)?, fresh_epoch)
    }

    /// The same over an engine in memory that fails when it is told to.
    #[cfg(test)]
    pub(crate) fn over(memory: &engine::memory::Memory, fresh_epoch: &Epoch) -> Result<Store, StoreError> {
        Store::on(engine::Handle::over(memory)?, fresh_epoch)
    }

    fn on(engine: engine::Handle, fresh_epoch: &Epoch) -> Result<Store, StoreError> {
        let key = keys::meta("epoch");
        let epoch = match engine.get(&[&key])?.pop().flatten() {
            Some(row) => rows::decode(&row)?,
            None => {
                let row = rows::encode(fresh_epoch)?;
                engine.commit(&[engine::Batch { guards: vec![(key.clone(), None)], rows: vec![(key, Some(row))] }])?;
                fresh_epoch.clone()
            }
        };
        Ok(Store { engine: Arc::new(engine), epoch })
    }

    /// The id of this store's history.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// Whether a write failed and left its outcome unknown: nothing is read or written until [`Store::recover`].
    pub fn is_failed(&self) -> bool {
        self.engine.is_failed()
    }

    /// Opens a failed store again on what is on disk. May take seconds. An error says why that does not go yet; ask again later.
    pub fn recover(&self) -> Result<(), StoreError> {
        self.engine.recover()
    }

    /// Bytes that the store takes on disk.
    pub fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        self.engine.bytes_on_disk()
    }
}

#[cfg(test)]
mod tests {
    use super::memory::{Call, Memory};
    use super::*;

    #[test]
    fn a_store_whose_write_failed_is_closed_until_it_recovers() {
        let memory = Memory::default();
        let epoch = |text| Epoch::new(text).expect("an epoch");
        let store = Store::over(&memory, &epoch("first")).expect("opens");
        memory.fail_nth(Call::Flush, 1);
        let mut group = store.group();
        let device = driftless_protocol::DeviceId::new("phone").expect("a name");
        let dataset = driftless_protocol::DatasetName::new("d").expect("a name");
        group.acknowledge(&Identity::from("local:1"), &device, &dataset, 1).expect("is decided");
        assert!(matches!(group.commit(), Err(StoreError::Io(_))));
        assert!(store.is_failed());
        store.recover().expect("recovers");
        assert!(!store.is_failed());
        assert_eq!(*Store::over(&memory, &epoch("second")).expect("opens").epoch(), epoch("first"));
    }
}
