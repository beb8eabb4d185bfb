//! Removals: which leave a tombstone, and what a removal whose tombstone is gone still does.

use super::*;

#[test]
fn a_base_behind_the_tombstone_horizon_conflicts_with_a_removal_that_is_forgotten() {
    let mut data =
        MemoryDataset { head: DatasetHead { version: 9, tombstone_horizon: 5, ..DatasetHead::default() }, ..MemoryDataset::default() };
    for base in [1, 4] {
        assert_eq!(data.conflict("phone", &[put("a", "1").with_base(base)]), [reaped_record(&key("a"), 5)], "base {base}");
    }
    // The device knows of no record, has seen the removal, wants it too, or does not care.
    for (name, change) in [("a", put("a", "1").with_base(0)), ("b", put("b", "1").with_base(5)), ("c", put("c", "1"))] {
        data.applied("phone", &[change, remove(&format!("not {name}")).with_base(1)]);
    }
    data.policy = ConflictPolicy::LastWriterWins;
    assert_eq!(data.applied("phone", &[put("d", "1").with_base(4)]).overruled, [0]);
}

#[test]
fn a_removal_is_remembered_once_if_the_device_knew_the_record() {
    let mut data = MemoryDataset::default();
    assert_eq!(data.applied("phone", &[remove("a")]).records, [], "the device did not know it, nobody has it");
    assert_eq!(data.applied("phone", &[remove("a").with_base(1)]).records.len(), 1);
    assert_eq!(data.head.tombstones, 1);
    for again in [remove("a"), remove("a").with_base(3)] {
        assert_eq!(data.applied("phone", &[again]).records, [], "it is removed already");
    }
}
