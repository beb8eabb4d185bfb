//! The patches in which a device writes again ("reoffers") what a restored or merged store does not have, and how it reacts to their answers. Pure.
//!
//! - A key that conflicts or is refused delays no other key: the other changes are sent again, in a patch with a new number.
//! - A retried reoffer never overwrites what the app wrote after the first patch had its number.
//! - Each retry is smaller than the patch before, so retrying ends.

use std::collections::{BTreeMap, BTreeSet};

use driftless_protocol::{Change, Key, Op, Record, Value};

/// Bytes of keys and values in a patch. JSON may be six times as long, which still fits a message, as does a single value at
/// its bound.
const PATCH_BYTES: usize = 256 * 1024;

/// What a change takes besides its key and value: field names, operation, base.
const CHANGE_OVERHEAD_BYTES: usize = 64;

/// How the app has written to a key since a reoffer of it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppWrite {
    /// By `put` or `remove`: the reoffer is obsolete.
    Overwritten,
    /// By an operation that depends on the value before: a retried reoffer would undo it.
    Modified,
}

/// The keys of a reoffer that the app has written since.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct AppWrites(BTreeMap<Key, AppWrite>);

impl AppWrites {
    pub(crate) fn from_changes(changes: &[Change]) -> AppWrites {
        let mut app_writes = AppWrites::default();
        for change in changes {
            app_writes
                .note(&change.key, if matches!(change.op, Op::Put | Op::Remove) { AppWrite::Overwritten } else { AppWrite::Modified });
        }
        app_writes
    }

    /// Records which of the written keys are reoffered.
    pub(crate) fn note_written(&mut self, written: &AppWrites, reoffered: &[Change]) {
        for change in reoffered {
            if let Some(write) = written.0.get(&change.key) {
                self.note(&change.key, *write);
            }
        }
    }

    /// Whether a reoffer of this key is obsolete.
    pub(crate) fn is_overwritten(&self, key: &Key) -> bool {
        self.0.get(key) == Some(&AppWrite::Overwritten)
    }

    /// An overwritten key stays overwritten when the app modifies it afterwards.
    fn note(&mut self, key: &Key, write: AppWrite) {
        let noted = self.0.entry(key.clone()).or_insert(write);
        if write == AppWrite::Overwritten {
            *noted = write;
        }
    }
}

/// The changes of a reoffer that was not applied.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct SplitReoffer {
    /// The device sends these again.
    pub(crate) retry: Vec<Change>,
    /// The app must resolve these.
    pub(crate) conflicting: Vec<Change>,
}

/// Splits changes into patches within both bounds.
pub(crate) fn split_into_patches(reoffers: Vec<Change>, changes_per_patch: usize) -> Vec<Vec<Change>> {
    let mut patches: Vec<Vec<Change>> = Vec::new();
    let mut patch_bytes = 0;
    for change in reoffers {
        let bytes = CHANGE_OVERHEAD_BYTES + change.key.as_str().len() + change.value.as_ref().map_or(0, Value::packed_bytes);
        match patches.last_mut() {
            Some(patch) if patch.len() < changes_per_patch && patch_bytes + bytes <= PATCH_BYTES => {
                patch.push(change);
                patch_bytes += bytes;
            }
            _ => {
                patches.push(vec![change]);
                patch_bytes = bytes;
            }
        }
    }
    patches
}

/// After a conflict: separates the keys of `records` from the rest. If `records` names none of the keys, all of them conflict.
pub(crate) fn after_conflict(reoffered: Vec<Change>, records: &[Record], app_writes: &AppWrites) -> SplitReoffer {
    let named: BTreeSet<&Key> = records.iter().map(|record| &record.key).collect();
    let names_none = !reoffered.iter().any(|change| named.contains(&change.key));
    partition(reoffered, app_writes, |change| names_none || named.contains(&change.key))
}

/// After a refusal of a patch of several changes: splits the changes that are not obsolete into two halves, because a refusal need not say
/// which change it is about. Returns the patches to send, and the changes that the app must resolve.
pub(crate) fn after_refusal(reoffered: Vec<Change>, app_writes: &AppWrites) -> (Vec<Vec<Change>>, Vec<Change>) {
    let half = reoffered.len().div_ceil(2);
    let SplitReoffer { mut retry, conflicting } = partition(reoffered, app_writes, |_| false);
    let rest = retry.split_off(half.min(retry.len()));
    ([retry, rest].into_iter().filter(|half| !half.is_empty()).collect(), conflicting)
}

fn partition(reoffered: Vec<Change>, app_writes: &AppWrites, conflicts: impl Fn(&Change) -> bool) -> SplitReoffer {
    let mut split = SplitReoffer::default();
    for change in reoffered {
        match app_writes.0.get(&change.key) {
            Some(AppWrite::Overwritten) => {}
            Some(AppWrite::Modified) => split.conflicting.push(change),
            None if conflicts(&change) => split.conflicting.push(change),
            None => split.retry.push(change),
        }
    }
    split
}

#[cfg(test)]
mod tests {
    use driftless_protocol::{Content, DeviceId};

    use super::*;

    fn key(name: &str) -> Key {
        Key::new(name).expect("a key")
    }

    fn change(name: &str) -> Change {
        Change::new(key(name), Op::Put, Value::from(1)).with_base(5)
    }

    fn changes(names: &str) -> Vec<Change> {
        names.split(' ').map(change).collect()
    }

    fn names(of: &[Change]) -> String {
        of.iter().map(|change| change.key.as_str()).collect::<Vec<_>>().join(" ")
    }

    fn theirs(name: &str) -> Record {
        let device = DeviceId::new("other").expect("a device");
        Record { key: key(name), content: Content::Removed, version: 8, modified_ms: 0, device }
    }

    fn app_writes(changes: &[(&str, Op)]) -> AppWrites {
        let changes: Vec<Change> = changes.iter().map(|(name, op)| Change::new(key(name), *op, None)).collect();
        let mut app_writes = AppWrites::default();
        app_writes.note_written(&AppWrites::from_changes(&changes), &changes);
        app_writes
    }

    #[test]
    fn patches_stay_within_both_bounds() {
        assert_eq!(split_into_patches(changes("a b c d e"), 2).iter().map(|patch| names(patch)).collect::<Vec<_>>(), ["a b", "c d", "e"]);
        let large = |name: &str, bytes: usize| Change { value: Some("x".repeat(bytes).as_str().into()), ..change(name) };
        let patches = split_into_patches(
            vec![change("a"), large("huge", 1 << 20), large("b", 100_000), large("c", 100_000), large("d", 100_000)],
            1_024,
        );
        assert_eq!(patches.iter().map(|patch| names(patch)).collect::<Vec<_>>(), ["a", "huge", "b c", "d"]);
        assert_eq!(split_into_patches(Vec::new(), 1_024), [[]; 0]);
    }

    #[test]
    fn a_conflict_affects_only_its_own_keys() {
        let split = after_conflict(changes("a b c"), &[theirs("b")], &AppWrites::default());
        assert_eq!((names(&split.retry), names(&split.conflicting)), ("a c".to_owned(), "b".to_owned()));
        let split = after_conflict(changes("a b"), &[theirs("z")], &AppWrites::default());
        assert_eq!(
            (names(&split.retry), names(&split.conflicting)),
            (String::new(), "a b".to_owned()),
            "otherwise the device would retry for ever"
        );
    }

    #[test]
    fn a_retry_never_overwrites_a_newer_write_of_the_app() {
        let written = app_writes(&[("put", Op::Put), ("gone", Op::Remove), ("added", Op::Add), ("both", Op::Put), ("both", Op::Add)]);
        let split = after_conflict(changes("a put gone added both met"), &[theirs("met")], &written);
        assert_eq!((names(&split.retry), names(&split.conflicting)), ("a".to_owned(), "added met".to_owned()));
    }

    #[test]
    fn only_reoffered_keys_are_noted() {
        let mut noted = AppWrites::default();
        noted.note_written(&AppWrites::from_changes(&changes("a b")), &changes("b c"));
        assert_eq!(noted, app_writes(&[("b", Op::Put)]));
        assert!(noted.is_overwritten(&key("b")) && !noted.is_overwritten(&key("a")));
    }

    #[test]
    fn a_refused_patch_is_halved_until_the_refused_change_is_alone() {
        let (halves, conflicting) = after_refusal(changes("a b c d e"), &app_writes(&[("b", Op::Put), ("e", Op::Merge)]));
        assert_eq!(halves.iter().map(|half| names(half)).collect::<Vec<_>>(), ["a c d"], "smaller than before");
        assert_eq!(names(&conflicting), "e");
        let (halves, _) = after_refusal(changes("a b c"), &AppWrites::default());
        assert_eq!(halves.iter().map(|half| names(half)).collect::<Vec<_>>(), ["a b", "c"]);
        assert_eq!(after_refusal(changes("a b"), &app_writes(&[("a", Op::Put), ("b", Op::Put)])).0, [[]; 0]);
    }
}
