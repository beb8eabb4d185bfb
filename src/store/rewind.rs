//! A dataset is restored to an earlier version: a new version, which reaches all devices like any write.

use driftless_protocol::{Content, DatasetName, DeviceId, Record};

use super::commit::Group;
use super::engine::Batch;
use super::history::{self, VersionNotKept, VersionOrigin};
use super::rows::{self, HeadRow};
use super::version::{Known, Making};
use super::{Identity, RetentionPolicy, StoreError, keys};
use crate::merge::{Head, Stored};

/// Who makes the version that a restore makes.
pub const OPERATOR: &str = "~operator";

/// What became of the wish to restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RewindOutcome {
    /// Restored, as this version; so many records changed.
    Written {
        /// The new version.
        version: u64,
        /// Records that differ from before.
        records: usize,
    },
    /// The dataset is as it was then: there is no new version.
    Same,
    /// That version cannot be seen any more, or never was.
    VersionNotKept(VersionNotKept),
    /// There is no such identity.
    NoIdentity,
}

impl Group<'_> {
    /// Restores a dataset to a version. A pool's bounds do not hold here: what was there once may be there again.
    pub fn rewind(
        &mut self,
        identity: &Identity,
        dataset: &DatasetName,
        to: u64,
        keep: &RetentionPolicy,
        now_ms: u64,
    ) -> Result<RewindOutcome, StoreError> {
        if !self.has_identity(identity)? {
            return Ok(RewindOutcome::NoIdentity);
        }
        let head_key = keys::head(identity, dataset);
        let head_row = self.view.get(&head_key)?;
        let head: HeadRow = head_row.as_deref().map(rows::decode).transpose()?.unwrap_or_default();
        let row = |version| self.view.get_pieces(&keys::history(identity, dataset, version));
        let undo = match history::undo(&head, to, row)? {
            Ok(undo) => undo,
            Err(not_kept) => return Ok(RewindOutcome::VersionNotKept(not_kept)),
        };
        let device = DeviceId::new(OPERATOR).map_err(|error| StoreError::Io(error.to_string()))?;
        let mut after = Head { version: head.version + 1, ..head.head() };
        let (mut records, mut known) = (Vec::new(), Known::new());
        for (key, then) in undo {
            let then = then.as_deref().map(rows::decode_record).transpose()?.map_or(Content::Removed, |stored| stored.record.content);
            let now = self.view.old(identity, dataset, &key)?;
            let content = now.as_ref().map(|old| &old.stored.record.content);
            if content.unwrap_or(&Content::Removed) == &then {
                continue;
            }
            after.replace(&key, content, &then);
            let others_version = now.as_ref().map_or(0, |old| old.stored.record.version);
            let record = Record { key: key.clone(), content: then, version: after.version, modified_ms: now_ms, device: device.clone() };
            records.push(Stored { record, others_version });
            known.extend(now.map(|old| (key, old)));
        }
        if records.is_empty() {
            return Ok(RewindOutcome::Same);
        }
        let mut batch = Batch { guards: vec![(head_key, head_row)], rows: Vec::new() };
        let making = Making { identity, dataset, device: &device, what: VersionOrigin::Restored(to), keep, now_ms };
        let version = making.write(&mut batch, head, after, &records, &known, Vec::new())?.version;
        self.record_debt(identity, dataset, version, &device, now_ms, &mut batch)?;
        self.view.decide(batch);
        Ok(RewindOutcome::Written { version, records: records.len() })
    }
}
