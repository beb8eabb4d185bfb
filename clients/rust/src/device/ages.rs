//! Which writes were made before a history changed.
//!
//! A write may wait for room, or on its way to the device's task, while a restored or merged store is heard of. It carries the age in which it
//! was made, so that its bases are lowered like those of the writes that had arrived.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use driftless_protocol::{Change, DatasetName};

use crate::outbox::lower;

/// The age of a device: how often it has heard of a history that changed. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Age(Arc<AtomicU64>);

impl Age {
    /// Now.
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::AcqRel) + 1
    }
}

/// When histories changed. An entry for each dataset whose history did: as many as the app has opened, at most.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    age: Age,
    /// From this age on the dataset shares only the versions up to this one with those before.
    restored: BTreeMap<DatasetName, (u64, u64)>,
    /// From this age on nothing is shared.
    moved: u64,
}

impl Ages {
    /// For a device with this age.
    pub(crate) fn new(age: Age) -> Ages {
        Ages { age, ..Ages::default() }
    }

    /// A dataset shares only the versions up to `shared` with what it was.
    pub(crate) fn restored(&mut self, dataset: &DatasetName, shared: u64) {
        let before = self.restored.get(dataset).map_or(shared, |(_, before)| *before);
        self.restored.insert(dataset.clone(), (self.age.next(), shared.min(before)));
    }

    /// The datasets are another identity's.
    pub(crate) fn moved(&mut self) {
        self.moved = self.age.next();
    }

    /// Lowers the bases of changes that were made at this age.
    pub(crate) fn lower(&self, made: u64, dataset: &DatasetName, changes: &mut [Change]) {
        if made < self.moved {
            lower(changes, 0);
        } else if let Some((age, shared)) = self.restored.get(dataset)
            && made < *age
        {
            lower(changes, *shared);
        }
    }
}

#[cfg(test)]
mod tests {
    use driftless_protocol::{Key, Op};

    use super::*;

    fn base(ages: &Ages, made: u64, dataset: &str) -> Option<u64> {
        let mut changes = [Change::new(Key::new("k").expect("a key"), Op::Remove, None).with_base(9)];
        ages.lower(made, &DatasetName::new(dataset).expect("a name"), &mut changes);
        changes[0].base
    }

    #[test]
    fn a_write_on_its_way_is_lowered_by_every_change_after_it_was_made() {
        let age = Age::default();
        let mut ages = Ages::new(age.clone());
        let (before, settings) = (age.now(), DatasetName::new("settings").expect("a name"));
        ages.restored(&settings, 4);
        let between = age.now();
        ages.restored(&settings, 6);
        let after = age.now();
        let bases = [before, between, after].map(|made| base(&ages, made, "settings"));
        assert_eq!(bases, [Some(4), Some(4), Some(9)], "rather one conflict too many than one too few");
        assert_eq!(base(&ages, before, "other"), Some(9));
        ages.moved();
        assert_eq!((base(&ages, after, "other"), base(&ages, age.now(), "other")), (Some(0), Some(9)));
    }
}
