//! A dataset of one identity becomes part of another's.
//!
//! One that the other does not have goes over as it is, with its versions, its history and what was acknowledged. Of one that both have, the records of
//! the one that comes make one new version of the one that is there. Nothing is lost: a record that does not get its place is kept in the history of that version.

use driftless_protocol::{Content, DatasetName, DeviceId, Record};

use super::commit::{Group, conflict_row};
use super::engine::Batch;
use super::history::VersionOrigin;
use super::keys::RowKind;
use super::rows::{self, ByteRow, HeadRow};
use super::version::{self, Known, Making, Old};
use super::work::rekeyed;
use super::{Identity, RetentionPolicy, StoreError, keys};
use crate::merge::{self, Policy, Stored};

/// Who makes the version that a merge makes.
pub(super) const MERGER: &str = "~merge";

/// The kinds of rows that a dataset consists of, its head apart.
pub(super) const PARTS: [RowKind; 5] = [RowKind::Pointer, RowKind::Record, RowKind::Conflict, RowKind::Tombstone, RowKind::History];

/// The records of a dataset that comes, divided.
#[derive(Default)]
struct Sides {
    head: merge::Head,
    taken: Vec<Stored>,
    known: Known,
    lost: Vec<ByteRow>,
    met: Vec<Record>,
}

impl Group<'_> {
    /// Moves a dataset and says which version it has at its new place.
    pub(super) fn move_dataset(
        &mut self,
        from: &Identity,
        into: &Identity,
        dataset: &DatasetName,
        policy: Policy,
        keep: &RetentionPolicy,
        now_ms: u64,
    ) -> Result<u64, StoreError> {
        let Some(theirs) = self.head_row(from, dataset)? else { return Ok(0) };
        let ours = self.head_row(into, dataset)?;
        match ours {
            Some(ours) if ours.version > 0 => self.mix(from, into, dataset, (theirs, ours), policy, keep, now_ms),
            ours => self.carry(from, into, dataset, theirs, ours),
        }
    }

    fn head_row(&self, identity: &Identity, dataset: &DatasetName) -> Result<Option<HeadRow>, StoreError> {
        self.view.get(&keys::head(identity, dataset))?.map(|row| rows::decode(&row)).transpose()
    }

    /// As it is.
    fn carry(
        &mut self,
        from: &Identity,
        into: &Identity,
        dataset: &DatasetName,
        theirs: HeadRow,
        ours: Option<HeadRow>,
    ) -> Result<u64, StoreError> {
        let mut batch = Batch::default();
        for kind in PARTS {
            let (old, new) = (keys::of_dataset(kind, from, dataset), keys::of_dataset(kind, into, dataset));
            for (key, row) in self.view.scan(&old)? {
                batch.rows.push((rekeyed(&key, &old, &new), Some(row)));
                batch.rows.push((key, None));
            }
        }
        self.move_acks(from, into, dataset, &mut batch)?;
        let mut moved = HeadRow { reap_at_ms: ours.map_or(0, |ours| ours.reap_at_ms), ..theirs.clone() };
        version::move_due(into, dataset, &mut moved, theirs.reap_at_ms, &mut batch.rows);
        let version = moved.version;
        batch.rows.push((keys::head(into, dataset), Some(rows::encode(&moved)?)));
        forget_head(from, dataset, theirs, &mut batch);
        self.view.decide(batch);
        Ok(version)
    }

    fn move_acks(&self, from: &Identity, into: &Identity, dataset: &DatasetName, batch: &mut Batch) -> Result<(), StoreError> {
        // Devices went over before.
        let prefix = keys::devices(into);
        for (key, _) in self.view.scan(&prefix)? {
            let device = DeviceId::new(keys::KeyParts::after(&key, &prefix)?.name()?);
            let device = device.map_err(|_| StoreError::Damaged("a device's id".to_owned()))?;
            let old = keys::ack(from, &device, dataset);
            if let Some(row) = self.view.get(&old)? {
                batch.rows.push((keys::ack(into, &device, dataset), Some(row)));
                batch.rows.push((old, None));
            }
        }
        Ok(())
    }

    /// As a new version of the one that is there.
    #[allow(clippy::too_many_arguments)]
    fn mix(
        &mut self,
        from: &Identity,
        into: &Identity,
        dataset: &DatasetName,
        (theirs, ours): (HeadRow, HeadRow),
        policy: Policy,
        keep: &RetentionPolicy,
        now_ms: u64,
    ) -> Result<u64, StoreError> {
        let sides = self.sides(from, into, dataset, &ours, policy)?;
        let mut batch = Batch::default();
        let mut ours = ours;
        let device = DeviceId::new(MERGER).map_err(|error| StoreError::Io(error.to_string()))?;
        if !sides.met.is_empty() {
            ours.conflicts += 1;
            batch.rows.push(conflict_row((into, dataset, &device), ours.conflicts, &sides.met, policy == Policy::LastWriterWins, now_ms)?);
        }
        let version = match sides.taken.is_empty() && sides.lost.is_empty() {
            true => {
                batch.rows.push((keys::head(into, dataset), Some(rows::encode(&ours)?)));
                ours.version
            }
            false => {
                let what = VersionOrigin::Merged(from.as_str().to_owned());
                let making = Making { identity: into, dataset, device: &device, what, keep, now_ms };
                making.write(&mut batch, ours, sides.head, &sides.taken, &sides.known, sides.lost)?.version
            }
        };
        for kind in PARTS {
            let prefix = keys::of_dataset(kind, from, dataset);
            batch.rows.extend(self.view.scan(&prefix)?.into_keys().map(|key| (key, None)));
        }
        forget_head(from, dataset, theirs, &mut batch);
        self.view.decide(batch);
        Ok(version)
    }

    /// Which records of the dataset that comes get a place.
    fn sides(&self, from: &Identity, into: &Identity, dataset: &DatasetName, ours: &HeadRow, policy: Policy) -> Result<Sides, StoreError> {
        let mut sides = Sides { head: merge::Head { version: ours.version + 1, ..ours.head() }, ..Sides::default() };
        let prefix = keys::of_dataset(RowKind::Pointer, from, dataset);
        for (key, _) in self.view.scan(&prefix)? {
            let key = keys::KeyParts::after(&key, &prefix)?.name()?;
            let key = driftless_protocol::Key::new(key).map_err(|_| StoreError::Damaged("a record's key".to_owned()))?;
            let Some(theirs) = self.view.old(from, dataset, &key)? else { continue };
            if theirs.stored.record.content == Content::Removed {
                continue;
            }
            let ours = self.view.old(into, dataset, &key)?;
            sides.divide(theirs, ours, policy)?;
        }
        Ok(sides)
    }
}

impl Sides {
    fn divide(&mut self, theirs: Old, ours: Option<Old>, policy: Policy) -> Result<(), StoreError> {
        let (comes, stands) = (&theirs.stored.record, ours.as_ref().map(|ours| &ours.stored.record));
        let live = stands.filter(|stands| stands.content != Content::Removed);
        if live.is_some_and(|stands| stands.content == comes.content) {
            return Ok(());
        }
        if let Some(stands) = live {
            self.met.push(stands.clone());
            // Of two of one millisecond the one that comes.
            let wins = policy == Policy::LastWriterWins && comes.modified_ms >= stands.modified_ms;
            if !wins {
                self.lost.push(ByteRow(theirs.content.to_vec()));
                return Ok(());
            }
        }
        self.head.replace(&comes.key, stands.map(|stands| &stands.content), &comes.content);
        let others_version = ours.as_ref().map_or(0, |ours| ours.stored.record.version);
        let record = Record { version: self.head.version, ..comes.clone() };
        if let Some(ours) = ours {
            self.known.insert(record.key.clone(), ours);
        }
        self.taken.push(Stored { record, others_version });
        Ok(())
    }
}

fn forget_head(identity: &Identity, dataset: &DatasetName, mut head: HeadRow, batch: &mut Batch) {
    version::move_due(identity, dataset, &mut head, 0, &mut batch.rows);
    batch.rows.push((keys::head(identity, dataset), None));
}
