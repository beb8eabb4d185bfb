//! A group: writes that are decided one after the other, each on top of those before it, and become durable together.
//!
//! Every kind of write adds its own `impl Group` beside its rows. Only the committer makes groups, and one at a time.

use std::collections::HashMap;

use driftless_protocol::{DatasetName, DeviceId};

use super::super::engine::{Batch, Committed};
use super::super::rows::{self, AckRow};
use super::super::view::View;
use super::super::{Identity, Store, StoreError, keys};

pub struct Group<'a> {
    pub(in crate::store) view: View<'a>,
    pub(in crate::store) store: &'a Store,
    /// The identities that were looked up: `None` if there is no such identity, otherwise how many of its devices are woken by pushes.
    pub(in crate::store) identities: HashMap<Identity, Option<u32>>,
}

impl Store {
    pub fn group(&self) -> Group<'_> {
        Group { view: View::new(&self.engine), store: self, identities: HashMap::new() }
    }
}

impl Group<'_> {
    /// Records that a device has everything up to a version. An older acknowledgement changes nothing.
    pub fn acknowledge(&mut self, identity: &Identity, device: &DeviceId, dataset: &DatasetName, version: u64) -> Result<(), StoreError> {
        if !self.has_identity(identity)? {
            return Ok(());
        }
        let key = keys::ack(identity, device, dataset);
        let before = self.view.get(&key)?.map(|row| rows::decode::<AckRow>(&row)).transpose()?;
        if before.is_none_or(|before| before.version < version) {
            let row = rows::encode(&AckRow { version })?;
            self.view.decide(Batch { preconditions: Vec::new(), rows: vec![(key, Some(row))] });
        }
        Ok(())
    }

    /// Bytes of the rows that were decided so far.
    pub fn bytes(&self) -> usize {
        self.view.bytes()
    }

    /// Makes the whole group durable. After an error other than a full disk its outcome is unknown: all of it or nothing may be found on disk
    /// later.
    pub fn commit(self) -> Result<(), StoreError> {
        let batch = self.view.into_batch();
        if batch.rows.is_empty() {
            return Ok(());
        }
        let behind = self.store.capture.behind(&batch);
        let committed = self.store.engine.commit(vec![batch]).inspect_err(|error| {
            // On a full disk nothing was applied, and a backup under way continues. After any other error the rows may turn up later, and the
            // backup would miss them.
            if !matches!(error, StoreError::Full(_)) {
                self.store.capture.end();
            }
        })?;
        if committed.contains(&Committed::Stale) {
            return Err(StoreError::Io("another writer changed the store under the committer".to_owned()));
        }
        self.store.capture.capture(behind);
        Ok(())
    }
}
