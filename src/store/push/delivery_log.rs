//! Why a device was woken or not: a bounded log for each device.

use driftless_protocol::{DatasetName, DeviceId};
use serde::{Deserialize, Serialize};

use super::super::commit::Group;
use super::super::row_source::RowSource;
use super::super::{Identity, Store, StoreError, keys, rows};
use super::rows::PushBudgetRow;

/// Entries of a device's log: a week of a phone that is woken three times a day, and enough to diagnose one with problems.
pub const DELIVERY_LOG_ENTRIES: u64 = 64;

/// The most bytes of a text in an entry. Reasons have a few words, or a gateway's name; FCM's ids have about 70 characters.
const STATUS_TEXT_BYTES: usize = 256;

/// An entry of a device's log, which can stand for several equal events in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryLogEntry {
    /// The time of the first event, in milliseconds since 1970 (UTC).
    pub first_ms: u64,
    /// The time of the last event.
    pub at_ms: u64,
    /// The number of events.
    pub count: u64,
    /// The dataset and the version of the last event.
    pub about: Option<(DatasetName, u64)>,
    pub status: DeliveryStatus,
}

/// What happened to a wake. The names on disk and in exports are those of the `rename` attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryStatus {
    /// The gateway accepted it.
    Accepted {
        /// Whether the user is shown something.
        shown: bool,
        /// The gateway's id for it.
        id: Option<String>,
    },
    /// The gateway declared the token dead, for this reason.
    #[serde(rename = "Dead")]
    TokenDead(String),
    /// The wake is tried again, for this reason, not before this moment in milliseconds since 1970 (UTC).
    #[serde(rename = "Later")]
    Deferred(String, u64),
    /// The gateway refused it for a reason that is not the token's.
    Refused(String),
    /// No wake was sent, for this reason.
    #[serde(rename = "None")]
    NotSent(String),
    /// Something else about the device's pushes: its registration changed, or an operator sent a test wake.
    #[serde(rename = "Changed")]
    Note(String),
}

/// An entry with its number, in the slot of that number.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::store) struct DeliveryLogRow {
    pub number: u64,
    pub entry: DeliveryLogEntry,
}

impl DeliveryLogEntry {
    /// An entry of one event.
    pub fn new(now_ms: u64, about: Option<(DatasetName, u64)>, status: DeliveryStatus) -> DeliveryLogEntry {
        DeliveryLogEntry { first_ms: now_ms, at_ms: now_ms, count: 1, about, status }
    }
}

impl DeliveryStatus {
    /// The same with texts of a bounded length: a gateway's id may have any.
    fn bounded(mut self) -> DeliveryStatus {
        let text = match &mut self {
            DeliveryStatus::Accepted { id, .. } => id.as_mut(),
            DeliveryStatus::TokenDead(text)
            | DeliveryStatus::Deferred(text, _)
            | DeliveryStatus::Refused(text)
            | DeliveryStatus::NotSent(text)
            | DeliveryStatus::Note(text) => Some(text),
        };
        if let Some(text) = text {
            let end = (0..=STATUS_TEXT_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or(0));
        }
        self
    }

    /// Whether two events in a row become one entry. Only those of wakes that were not sent do: they can recur without end.
    fn repeats(&self, before: &DeliveryStatus) -> bool {
        matches!((before, self), (DeliveryStatus::NotSent(one), DeliveryStatus::NotSent(other)) if one == other)
            || matches!((before, self), (DeliveryStatus::Deferred(one, _), DeliveryStatus::Deferred(other, _)) if one == other)
    }
}

impl Store {
    /// The log of a device, the newest entry first.
    pub fn delivery_log(&self, identity: &Identity, device: &DeviceId) -> Result<Vec<DeliveryLogEntry>, StoreError> {
        let prefix = keys::delivery_log(identity, device);
        let mut found = Vec::new();
        for (_, row) in self.engine.all_of(&prefix)? {
            found.push(rows::decode::<DeliveryLogRow>(&row)?);
        }
        found.sort_by_key(|row| std::cmp::Reverse(row.number));
        Ok(found.into_iter().map(|row| row.entry).collect())
    }
}

impl Group<'_> {
    /// Adds an event to the log of a device, unless the device is unknown.
    pub fn append_delivery_log(&mut self, identity: &Identity, device: &DeviceId, entry: DeliveryLogEntry) -> Result<(), StoreError> {
        if !self.is_known(identity, device)? {
            return Ok(());
        }
        let entry = DeliveryLogEntry { status: entry.status.bounded(), ..entry };
        let mut budget = self.budget_row(identity, device)?;
        let last = match budget.log_entries {
            0 => None,
            number => self.view.get(&keys::delivery_log_entry(identity, device, slot(number)))?,
        };
        let last = last.map(|row| rows::decode::<DeliveryLogRow>(&row)).transpose()?.filter(|row| row.number == budget.log_entries);
        let row = match last {
            Some(DeliveryLogRow { number, entry: before }) if entry.status.repeats(&before.status) => {
                DeliveryLogRow { number, entry: DeliveryLogEntry { first_ms: before.first_ms, count: before.count + 1, ..entry } }
            }
            _ => {
                budget.log_entries += 1;
                DeliveryLogRow { number: budget.log_entries, entry }
            }
        };
        let batch = vec![
            (keys::delivery_log_entry(identity, device, slot(row.number)), Some(rows::encode(&row)?)),
            (keys::push_budget(identity, device), Some(rows::encode(&budget)?)),
        ];
        self.view.decide(batch);
        Ok(())
    }

    pub(super) fn budget_row(&self, identity: &Identity, device: &DeviceId) -> Result<PushBudgetRow, StoreError> {
        Ok(self.view.row(&keys::push_budget(identity, device))?.unwrap_or_default())
    }
}

fn slot(number: u64) -> u16 {
    (number % DELIVERY_LOG_ENTRIES) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_the_bytes_that_are_on_disk() {
        let reason = "r".to_owned();
        let cases = [
            (DeliveryStatus::Accepted { shown: true, id: None }, r"\x81\xa8Accepted\x92\xc3\xc0"),
            (DeliveryStatus::TokenDead(reason.clone()), r"\x81\xa4Dead\xa1r"),
            (DeliveryStatus::Deferred(reason.clone(), 9), r"\x81\xa5Later\x92\xa1r\t"),
            (DeliveryStatus::Refused(reason.clone()), r"\x81\xa7Refused\xa1r"),
            (DeliveryStatus::NotSent(reason.clone()), r"\x81\xa4None\xa1r"),
            (DeliveryStatus::Note(reason), r"\x81\xa7Changed\xa1r"),
        ];
        for (status, bytes) in cases {
            let row = DeliveryLogRow { number: 1, entry: DeliveryLogEntry::new(7, None, status) };
            let row = rows::encode(&row).expect("is encoded");
            assert_eq!(row.escape_ascii().to_string(), format!(r"\x92\x01\x95\x07\x07\x01\xc0{bytes}"));
        }
    }
}
