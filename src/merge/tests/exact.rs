//! Exact bases: Amazon Cognito Sync's rule for a `SyncCount`.

use std::convert::Infallible;

use driftless_protocol::{Change, Content, Limits, Record};

use super::{key, put, remove, value};
use crate::merge::{Bases, ConflictPolicy, DatasetHead, MergeOutcome, MergeTerms, Merged, StoredRecord, merge};

const DELETED: u64 = 4;

/// Merges one change by `phone` into a dataset at version 9, deleted at version 4, whose record `k` is as given.
fn decide(stored: Option<(Content, u64, &str)>, change: &Change, policy: ConflictPolicy) -> MergeOutcome {
    let stored = stored.map(|(content, version, by)| {
        let record = Record { key: key("k"), content, version, modified_ms: 1, device: super::device(by) };
        StoredRecord { record, others_version: 0 }
    });
    let device = super::device("phone");
    let limits = Limits::default();
    let terms = MergeTerms { device: &device, now_ms: 7, policy, bases: Bases::Exact, limits: &limits };
    let head = DatasetHead { version: 9, deleted: DELETED, tombstone_horizon: 8, ..DatasetHead::default() };
    let no_value = |_| -> Result<_, Infallible> { panic!("exact bases need no value") };
    let Ok(Merged { outcome, .. }) = merge(head, &[stored.as_ref().map(StoredRecord::head)], std::slice::from_ref(change), terms, no_value);
    outcome
}

fn is_applied(outcome: &MergeOutcome) -> bool {
    matches!(outcome, MergeOutcome::Applied(applied) if applied.head.version == 10 && applied.records.len() == 1)
}

#[test]
fn any_other_base_than_the_version_conflicts_by_any_writer_with_any_value_under_any_policy() {
    for policy in [ConflictPolicy::Reject, ConflictPolicy::LastWriterWins] {
        for by in ["phone", "laptop"] {
            for change in [put("k", "1"), put("k", "2"), remove("k")] {
                for base in [0, 6, 8, 9, 10] {
                    let outcome = decide(Some((Content::Value(value("1")), 7, by)), &change.clone().with_base(base), policy);
                    assert_eq!(outcome, MergeOutcome::Conflict(vec![0]), "{policy:?} {by} {change:?} {base}");
                }
                let outcome = decide(Some((Content::Value(value("1")), 7, by)), &change.clone().with_base(7), policy);
                assert!(is_applied(&outcome), "{change:?}: {outcome:?}");
            }
        }
    }
}

#[test]
fn an_absent_record_never_conflicts_and_its_removal_is_stamped() {
    for change in [put("k", "1"), remove("k")] {
        for base in [0, 1, 5, 9, 100] {
            let outcome = decide(None, &change.clone().with_base(base), ConflictPolicy::Reject);
            assert!(is_applied(&outcome), "{change:?} {base}: {outcome:?}");
        }
    }
}

#[test]
fn a_tombstone_conflicts_unless_the_base_is_0_or_it_is_of_a_former_life() {
    for change in [put("k", "1"), remove("k")] {
        for (version, base, is_free) in
            [(7, 0, true), (7, 7, true), (7, 6, false), (7, 8, false), (4, 2, true), (4, 9, true), (5, 4, false)]
        {
            let outcome = decide(Some((Content::Removed, version, "laptop")), &change.clone().with_base(base), ConflictPolicy::Reject);
            assert_eq!(is_applied(&outcome), is_free, "{change:?} at {version} on {base}: {outcome:?}");
        }
    }
}
