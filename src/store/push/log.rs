//! Why a device was woken, or was not: a bounded log for each device.

use driftless_protocol::{DatasetName, DeviceId};
use serde::{Deserialize, Serialize};

use super::super::commit::Group;
use super::super::engine::Batch;
use super::super::{Identity, Store, StoreError, keys, rows};
use super::{LogRow, PurseRow};

/// Entries of a device's log: a week of a phone that is woken three times a day, and a good look at one that is in trouble.
pub const DELIVERY_LOG_ENTRIES: u64 = 64;

/// An entry. Several of the same kind in a row are one, with a count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryLogEntry {
    /// When the first of them was, in milliseconds since 1970 (UTC).
    pub first_ms: u64,
    /// When the last of them was.
    pub at_ms: u64,
    /// How many.
    pub count: u64,
    /// The dataset that the last one was about, and its version.
    pub about: Option<(DatasetName, u64)>,
    /// What happened.
    pub told: DeliveryStatus,
}

/// What happened to a wake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryStatus {
    /// The gateway took it: silent or shown, with its id for it.
    Accepted {
        /// Whether it is shown.
        shown: bool,
        /// The gateway's.
        id: Option<String>,
    },
    /// The gateway said that the token is dead.
    Dead(String),
    /// The gateway said, or nobody did: later. When, in milliseconds since 1970 (UTC).
    Later(String, u64),
    /// The gateway refused it, for a reason that is not the token's.
    Refused(String),
    /// None was sent, and why.
    None(String),
    /// The registration changed.
    Changed(String),
}

impl DeliveryLogEntry {
    /// A single one.
    pub fn now(now_ms: u64, about: Option<(DatasetName, u64)>, told: DeliveryStatus) -> DeliveryLogEntry {
        DeliveryLogEntry { first_ms: now_ms, at_ms: now_ms, count: 1, about, told }
    }
}

impl DeliveryStatus {
    /// Whether two in a row are told as one: only what did not happen repeats itself without end.
    fn repeats(&self, before: &DeliveryStatus) -> bool {
        matches!((before, self), (DeliveryStatus::None(one), DeliveryStatus::None(other)) if one == other)
            || matches!((before, self), (DeliveryStatus::Later(one, _), DeliveryStatus::Later(other, _)) if one == other)
    }
}

impl Store {
    /// The log of a device, the newest first.
    pub fn push_log(&self, identity: &Identity, device: &DeviceId) -> Result<Vec<DeliveryLogEntry>, StoreError> {
        let prefix = keys::wake_log(identity, device);
        let mut found = Vec::new();
        for (_, row) in self.engine.scan(&prefix, &keys::after(&prefix), usize::MAX)? {
            found.push(rows::decode::<LogRow>(&row)?);
        }
        found.sort_by_key(|row| std::cmp::Reverse(row.number));
        Ok(found.into_iter().map(|row| row.entry).collect())
    }
}

impl Group<'_> {
    /// Adds to a device's log.
    pub fn log_wake(&mut self, identity: &Identity, device: &DeviceId, entry: DeliveryLogEntry) -> Result<(), StoreError> {
        let mut purse = self.purse(identity, device)?;
        let last = match purse.entries {
            0 => None,
            number => self.view.get(&keys::wake_entry(identity, device, slot(number)))?,
        };
        let last = last.map(|row| rows::decode::<LogRow>(&row)).transpose()?.filter(|row| row.number == purse.entries);
        let row = match last {
            Some(LogRow { number, entry: before }) if entry.told.repeats(&before.told) => {
                LogRow { number, entry: DeliveryLogEntry { first_ms: before.first_ms, count: before.count + 1, ..entry } }
            }
            _ => {
                purse.entries += 1;
                LogRow { number: purse.entries, entry }
            }
        };
        let mut batch = Batch::default();
        batch.rows.push((keys::wake_entry(identity, device, slot(row.number)), Some(rows::encode(&row)?)));
        batch.rows.push((keys::purse(identity, device), Some(rows::encode(&purse)?)));
        self.view.decide(batch);
        Ok(())
    }

    pub(super) fn purse(&self, identity: &Identity, device: &DeviceId) -> Result<PurseRow, StoreError> {
        Ok(self.view.get(&keys::purse(identity, device))?.map(|row| rows::decode(&row)).transpose()?.unwrap_or_default())
    }
}

fn slot(number: u64) -> u16 {
    (number % DELIVERY_LOG_ENTRIES) as u16
}
