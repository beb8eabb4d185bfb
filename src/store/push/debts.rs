//! Debts: a row for each dataset with a version that devices may not have acknowledged, and the date of the courier's next round.

use driftless_protocol::{DatasetName, DeviceId};

use super::super::commit::Group;
use super::super::engine::RowBatch;
use super::super::keys::RowKind;
use super::super::row_source::RowSource;
use super::super::{Identity, StoreError, keys, rows};
use super::rows::DebtRow;

/// A version of a dataset that devices may not have acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debt {
    pub dataset: DatasetName,
    /// The dataset's newest version.
    pub version: u64,
    /// The device that wrote it.
    pub writer: DeviceId,
    /// The newest version that another device wrote.
    pub others_version: u64,
    /// When the first version after the courier's last round was written, in milliseconds since 1970 (UTC); 0: there is none.
    pub first_ms: u64,
    /// When the newest version was written.
    pub changed_ms: u64,
}

impl Debt {
    pub(super) fn of(dataset: DatasetName, row: DebtRow) -> Debt {
        let DebtRow { version, writer, others_version, at_ms: _, first_ms, changed_ms } = row;
        Debt { dataset, version, writer, others_version, first_ms, changed_ms }
    }

    /// The newest version that other devices than this one wrote.
    pub fn version_from_others(&self, device: &DeviceId) -> u64 {
        if self.writer == *device { self.others_version } else { self.version }
    }
}

impl Group<'_> {
    /// Records that a version is owed to the devices of an identity, if any of them has a live push token.
    pub(in crate::store) fn record_debt(
        &mut self,
        identity: &Identity,
        dataset: &DatasetName,
        version: u64,
        writer: &DeviceId,
        now_ms: u64,
        batch: &mut RowBatch,
    ) -> Result<(), StoreError> {
        if !self.has_push_targets(identity)? {
            return Ok(());
        }
        let key = keys::debt(identity, dataset);
        let before = self.view.row::<DebtRow>(&key)?;
        let row = match &before {
            // No version before this one is owed to any device.
            None => DebtRow { version, writer: writer.clone(), others_version: 0, at_ms: now_ms, first_ms: now_ms, changed_ms: now_ms },
            Some(row) => DebtRow {
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
            batch.extend(before_ms.map(|at_ms| (keys::wake_due(at_ms, identity, dataset), None)));
            batch.push((keys::wake_due(row.at_ms, identity, dataset), Some(Vec::new())));
        }
        batch.push((key, Some(rows::encode(&row)?)));
        Ok(())
    }

    /// Records that the courier has examined debts at these versions: later versions get a grace of their own.
    pub fn mark_debts_examined(&mut self, identity: &Identity, debts: &[Debt]) -> Result<(), StoreError> {
        for debt in debts {
            let key = keys::debt(identity, &debt.dataset);
            let Some(row) = self.view.get(&key)? else { continue };
            let row: DebtRow = rows::decode(&row)?;
            let first_ms = if row.version == debt.version { 0 } else { row.changed_ms };
            if first_ms != row.first_ms {
                let row = rows::encode(&DebtRow { first_ms, ..row })?;
                self.view.decide(vec![(key, Some(row))]);
            }
        }
        Ok(())
    }

    /// Whether no version was written since a debt was read.
    pub fn is_debt_unchanged(&self, identity: &Identity, debt: &Debt) -> Result<bool, StoreError> {
        let row = self.view.row::<DebtRow>(&keys::debt(identity, &debt.dataset))?;
        Ok(row.is_some_and(|row| (row.version, row.changed_ms) == (debt.version, debt.changed_ms)))
    }

    /// Gives the debt of a dataset another date, or with `None` ends it.
    pub(super) fn reschedule(&mut self, identity: &Identity, dataset: &DatasetName, at_ms: Option<u64>) -> Result<(), StoreError> {
        let key = keys::debt(identity, dataset);
        let Some(row) = self.view.row::<DebtRow>(&key)? else { return Ok(()) };
        let mut batch = RowBatch::new();
        batch.push((keys::wake_due(row.at_ms, identity, dataset), None));
        match at_ms {
            None => batch.push((key, None)),
            Some(at_ms) => {
                batch.push((keys::wake_due(at_ms, identity, dataset), Some(Vec::new())));
                batch.push((key, Some(rows::encode(&DebtRow { at_ms, ..row })?)));
            }
        }
        self.view.decide(batch);
        Ok(())
    }

    /// Ends all debts to the devices of an identity that is merged: the merge itself is a debt of the other identity.
    pub(in crate::store) fn clear_debts(&self, identity: &Identity, batch: &mut RowBatch) -> Result<(), StoreError> {
        let prefix = keys::of_identity(RowKind::Debt, identity);
        for (key, row) in self.view.all_of(&prefix)? {
            let dataset = keys::KeyParts::after(&key, &prefix)?.dataset()?;
            let row: DebtRow = rows::decode(&row)?;
            batch.push((keys::wake_due(row.at_ms, identity, &dataset), None));
            batch.push((key, None));
        }
        Ok(())
    }
}
