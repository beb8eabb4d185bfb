//! What somebody may be owed: a row for each dataset, with a date.

use driftless_protocol::{DatasetName, DeviceId};

use super::super::commit::Group;
use super::super::engine::Batch;
use super::super::{Identity, StoreError, keys, rows};
use super::OwedRow;

/// A version of a dataset that somebody may be owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debt {
    /// Which dataset.
    pub dataset: DatasetName,
    /// Its newest version.
    pub version: u64,
    /// Who wrote it.
    pub writer: DeviceId,
    /// The newest version that somebody else wrote.
    pub others_version: u64,
    /// When the first version was written that no visit has seen, in milliseconds since 1970 (UTC); 0: all were seen.
    pub first_ms: u64,
    /// When the newest version was written.
    pub changed_ms: u64,
}

impl Debt {
    pub(super) fn of(dataset: DatasetName, row: OwedRow) -> Debt {
        let OwedRow { version, writer, others_version, at_ms: _, first_ms, changed_ms } = row;
        Debt { dataset, version, writer, others_version, first_ms, changed_ms }
    }

    /// The newest version that a device did not write itself.
    pub fn foreign_to(&self, device: &DeviceId) -> u64 {
        if self.writer == *device { self.others_version } else { self.version }
    }
}

impl Group<'_> {
    /// Notes that a version is owed to the devices of an identity, if any of them is woken by pushes.
    pub(in crate::store) fn owe(
        &mut self,
        identity: &Identity,
        dataset: &DatasetName,
        version: u64,
        writer: &DeviceId,
        now_ms: u64,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        if self.pushes(identity)? == 0 {
            return Ok(());
        }
        let key = keys::owed(identity, dataset);
        let before = self.view.get(&key)?.map(|row| rows::decode::<OwedRow>(&row)).transpose()?;
        let row = match &before {
            // Nobody was owed what came before.
            None => OwedRow { version, writer: writer.clone(), others_version: 0, at_ms: now_ms, first_ms: now_ms, changed_ms: now_ms },
            Some(row) => OwedRow {
                version,
                others_version: if row.writer == *writer { row.others_version } else { row.version },
                writer: writer.clone(),
                at_ms: row.at_ms.min(now_ms),
                first_ms: if row.first_ms == 0 { now_ms } else { row.first_ms },
                changed_ms: now_ms,
            },
        };
        let before_ms = before.map(|row| row.at_ms);
        if before_ms != Some(row.at_ms) {
            batch.rows.extend(before_ms.map(|at_ms| (keys::wake_due(at_ms, identity, dataset), None)));
            batch.rows.push((keys::wake_due(row.at_ms, identity, dataset), Some(Vec::new())));
        }
        batch.rows.push((key, Some(rows::encode(&row)?)));
        Ok(())
    }

    /// Gives what is owed of a dataset another date, or ends it.
    pub(super) fn redate(&mut self, identity: &Identity, dataset: &DatasetName, at_ms: Option<u64>) -> Result<(), StoreError> {
        let key = keys::owed(identity, dataset);
        let Some(row) = self.view.get(&key)? else { return Ok(()) };
        let row: OwedRow = rows::decode(&row)?;
        let mut batch = Batch::default();
        batch.rows.push((keys::wake_due(row.at_ms, identity, dataset), None));
        match at_ms {
            None => batch.rows.push((key, None)),
            Some(at_ms) => {
                batch.rows.push((keys::wake_due(at_ms, identity, dataset), Some(Vec::new())));
                batch.rows.push((key, Some(rows::encode(&OwedRow { at_ms, first_ms: row.first_ms, ..row })?)));
            }
        }
        self.view.decide(batch);
        Ok(())
    }

    /// Notes that a visit has seen a version: later ones have a grace of their own.
    pub(super) fn visited(&mut self, identity: &Identity, dataset: &DatasetName, version: u64) -> Result<(), StoreError> {
        let key = keys::owed(identity, dataset);
        let Some(row) = self.view.get(&key)? else { return Ok(()) };
        let row: OwedRow = rows::decode(&row)?;
        let first_ms = if row.version == version { 0 } else { row.changed_ms };
        if first_ms != row.first_ms {
            let row = rows::encode(&OwedRow { first_ms, ..row })?;
            self.view.decide(Batch { preconditions: Vec::new(), rows: vec![(key, Some(row))] });
        }
        Ok(())
    }

    /// Ends all that is owed to an identity's devices: they are another's now.
    pub(in crate::store) fn forget_owed(&self, identity: &Identity, batch: &mut Batch) -> Result<(), StoreError> {
        let prefix = keys::owned(keys::Kind::Debt, identity);
        for (key, row) in self.view.scan(&prefix)? {
            let dataset = keys::Parts::after(&key, &prefix)?.dataset()?;
            let row: OwedRow = rows::decode(&row)?;
            batch.rows.push((keys::wake_due(row.at_ms, identity, &dataset), None));
            batch.rows.push((key, None));
        }
        Ok(())
    }
}
