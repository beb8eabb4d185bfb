//! Which writes the app made before a history changed.
//!
//! A write may wait for a permit, or in the command channel, while the task learns that the store was restored or the identity merged. Each
//! write carries the generation in which the app made it, so that its bases are lowered like those of the writes that are in the outbox.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use driftless_protocol::{Change, DatasetName};

use crate::outbox::lower_bases;

/// Counts the changes of history that this device has learned of. Clones share the counter.
#[derive(Clone, Debug, Default)]
pub(crate) struct HistoryGeneration(Arc<AtomicU64>);

impl HistoryGeneration {
    pub(crate) fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn advance(&self) -> u64 {
        self.0.fetch_add(1, Ordering::AcqRel) + 1
    }
}

/// The generations in which histories changed. Holds one entry for each dataset whose history did, so at most as many as the app has opened.
#[derive(Debug, Default)]
pub(crate) struct HistoryChanges {
    generation: HistoryGeneration,
    /// By dataset: the generation that its last restore began, and the last version that it shares with all earlier generations.
    restored: BTreeMap<DatasetName, (u64, u64)>,
    /// The generation that the last merge began. It shares no version with earlier ones.
    merged: u64,
}

impl HistoryChanges {
    pub(crate) fn new(generation: HistoryGeneration) -> HistoryChanges {
        HistoryChanges { generation, ..HistoryChanges::default() }
    }

    /// The store was restored: the dataset's new history shares only the versions up to `shared` with the former one.
    pub(crate) fn restored(&mut self, dataset: &DatasetName, shared: u64) {
        let before = self.restored.get(dataset).map_or(shared, |(_, before)| *before);
        self.restored.insert(dataset.clone(), (self.generation.advance(), shared.min(before)));
    }

    /// The identity was merged into another one: no dataset's new history shares a version with the former one.
    pub(crate) fn merged(&mut self) {
        self.merged = self.generation.advance();
    }

    /// Lowers the bases of changes that the app made in this generation to what the present history has.
    pub(crate) fn lower_bases(&self, generation: u64, dataset: &DatasetName, changes: &mut [Change]) {
        if generation < self.merged {
            lower_bases(changes, 0);
        } else if let Some((began, shared)) = self.restored.get(dataset)
            && generation < *began
        {
            lower_bases(changes, *shared);
        }
    }
}

#[cfg(test)]
mod tests {
    use driftless_protocol::{Key, Op};

    use super::*;

    fn base(history_changes: &HistoryChanges, generation: u64, dataset: &str) -> Option<u64> {
        let mut changes = [Change::new(Key::new("k").expect("a key"), Op::Remove, None).with_base(9)];
        history_changes.lower_bases(generation, &DatasetName::new(dataset).expect("a name"), &mut changes);
        changes[0].base
    }

    #[test]
    fn a_queued_write_is_lowered_by_every_history_change_since_the_app_made_it() {
        let generation = HistoryGeneration::default();
        let mut history_changes = HistoryChanges::new(generation.clone());
        let (before, settings) = (generation.current(), DatasetName::new("settings").expect("a name"));
        history_changes.restored(&settings, 4);
        let between = generation.current();
        history_changes.restored(&settings, 6);
        let after = generation.current();
        let bases = [before, between, after].map(|made_in| base(&history_changes, made_in, "settings"));
        assert_eq!(bases, [Some(4), Some(4), Some(9)], "rather one conflict too many than one too few");
        assert_eq!(base(&history_changes, before, "other"), Some(9));
        history_changes.merged();
        assert_eq!((base(&history_changes, after, "other"), base(&history_changes, generation.current(), "other")), (Some(0), Some(9)));
    }
}
