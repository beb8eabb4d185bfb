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
pub use engine::{Config, EngineError as StoreError};
pub use logins::LoginKey;
pub use rows::ConflictRow as Conflict;

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
        let engine = engine::Handle::open(folder, config)?;
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

    /// Bytes that the store takes on disk.
    pub fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        self.engine.bytes_on_disk()
    }
}
