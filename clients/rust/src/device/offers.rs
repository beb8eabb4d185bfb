//! The patches in which a device offers again what a restored or merged store does not have, and what follows from their answers. Pure.
//!
//! - One key that conflicts or does not fit holds up no other: the rest goes again, with a new number.
//! - What the app wrote after a patch had its number is never overwritten by an offer that goes again.
//! - Each patch that goes again is smaller than the one before, so it ends.

use std::collections::{BTreeMap, BTreeSet};

use driftless_protocol::{Change, Key, Op, Record, Value};

/// Bytes of keys and values in a patch. In JSON they may be six times as long, which still fits a message, as does a single value at
/// its bound.
const PATCH_BYTES: usize = 256 * 1024;

/// Around a key and a value: names, operation, base.
const CHANGE_BYTES: usize = 64;

/// What the app has written to a key since an offer of it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// It has another value now, or none: the offer is of no use any more.
    Replaced,
    /// It was computed on: an offer that goes again would undo that.
    Computed,
}

/// The keys of an offer that the app has written since.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Overtaken(BTreeMap<Key, Since>);

impl Overtaken {
    /// What these changes of the app do to their keys.
    pub(crate) fn of(changes: &[Change]) -> Overtaken {
        let mut overtaken = Overtaken::default();
        for change in changes {
            overtaken.note(&change.key, if matches!(change.op, Op::Put | Op::Remove) { Since::Replaced } else { Since::Computed });
        }
        overtaken
    }

    /// The app writes, perhaps to keys that are offered.
    pub(crate) fn by(&mut self, written: &Overtaken, offered: &[Change]) {
        for offer in offered {
            if let Some(since) = written.0.get(&offer.key) {
                self.note(&offer.key, *since);
            }
        }
    }

    /// Whether an offer of this key is of no use any more.
    pub(crate) fn replaces(&self, key: &Key) -> bool {
        self.0.get(key) == Some(&Since::Replaced)
    }

    /// What was replaced once stays so, whatever is computed on it.
    fn note(&mut self, key: &Key, since: Since) {
        let noted = self.0.entry(key.clone()).or_insert(since);
        if since == Since::Replaced {
            *noted = since;
        }
    }
}

/// An offer that was not applied, sorted.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Sorted {
    /// Goes again.
    pub(crate) again: Vec<Change>,
    /// Is the app's to resolve.
    pub(crate) met: Vec<Change>,
}

/// Cuts offers into patches of at most this many changes.
pub(crate) fn cut(offers: Vec<Change>, changes_per_patch: usize) -> Vec<Vec<Change>> {
    let mut patches: Vec<Vec<Change>> = Vec::new();
    let mut patch_bytes = 0;
    for offer in offers {
        let bytes = CHANGE_BYTES + offer.key.as_str().len() + offer.value.as_ref().map_or(0, Value::packed_bytes);
        match patches.last_mut() {
            Some(patch) if patch.len() < changes_per_patch && patch_bytes + bytes <= PATCH_BYTES => {
                patch.push(offer);
                patch_bytes += bytes;
            }
            _ => {
                patches.push(vec![offer]);
                patch_bytes = bytes;
            }
        }
    }
    patches
}

/// After a conflict: what met `records`, and the rest. An answer that names none of the keys is about all of them.
pub(crate) fn after_conflict(offered: Vec<Change>, records: &[Record], overtaken: &Overtaken) -> Sorted {
    let named: BTreeSet<&Key> = records.iter().map(|record| &record.key).collect();
    let none = !offered.iter().any(|offer| named.contains(&offer.key));
    sort(offered, overtaken, |offer| none || named.contains(&offer.key))
}

/// After a refusal of a patch of several changes: two halves of what is left of it. A refusal need not say which change it is about.
pub(crate) fn after_refusal(offered: Vec<Change>, overtaken: &Overtaken) -> (Vec<Vec<Change>>, Vec<Change>) {
    let half = offered.len().div_ceil(2);
    let Sorted { mut again, met } = sort(offered, overtaken, |_| false);
    let rest = again.split_off(half.min(again.len()));
    ([again, rest].into_iter().filter(|half| !half.is_empty()).collect(), met)
}

fn sort(offered: Vec<Change>, overtaken: &Overtaken, met: impl Fn(&Change) -> bool) -> Sorted {
    let mut sorted = Sorted::default();
    for offer in offered {
        match overtaken.0.get(&offer.key) {
            Some(Since::Replaced) => {}
            Some(Since::Computed) => sorted.met.push(offer),
            None if met(&offer) => sorted.met.push(offer),
            None => sorted.again.push(offer),
        }
    }
    sorted
}

#[cfg(test)]
mod tests {
    use driftless_protocol::{Content, DeviceId};

    use super::*;

    fn key(name: &str) -> Key {
        Key::new(name).expect("a key")
    }

    fn offer(name: &str) -> Change {
        Change::new(key(name), Op::Put, Value::from(1)).with_base(5)
    }

    fn offers(names: &str) -> Vec<Change> {
        names.split(' ').map(offer).collect()
    }

    fn names(changes: &[Change]) -> String {
        changes.iter().map(|change| change.key.as_str()).collect::<Vec<_>>().join(" ")
    }

    fn theirs(name: &str) -> Record {
        let device = DeviceId::new("other").expect("a device");
        Record { key: key(name), content: Content::Removed, version: 8, modified_ms: 0, device }
    }

    fn overtaken(changes: &[(&str, Op)]) -> Overtaken {
        let changes: Vec<Change> = changes.iter().map(|(name, op)| Change::new(key(name), *op, None)).collect();
        let mut overtaken = Overtaken::default();
        overtaken.by(&Overtaken::of(&changes), &changes);
        overtaken
    }

    #[test]
    fn patches_stay_within_both_bounds() {
        assert_eq!(cut(offers("a b c d e"), 2).iter().map(|patch| names(patch)).collect::<Vec<_>>(), ["a b", "c d", "e"]);
        let large = |name: &str, bytes: usize| Change { value: Some("x".repeat(bytes).as_str().into()), ..offer(name) };
        let patches = cut(vec![offer("a"), large("huge", 1 << 20), large("b", 100_000), large("c", 100_000), large("d", 100_000)], 1_024);
        assert_eq!(patches.iter().map(|patch| names(patch)).collect::<Vec<_>>(), ["a", "huge", "b c", "d"]);
        assert_eq!(cut(Vec::new(), 1_024), [[]; 0]);
    }

    #[test]
    fn a_conflict_takes_down_nothing_but_its_own_keys() {
        let sorted = after_conflict(offers("a b c"), &[theirs("b")], &Overtaken::default());
        assert_eq!((names(&sorted.again), names(&sorted.met)), ("a c".to_owned(), "b".to_owned()));
        let sorted = after_conflict(offers("a b"), &[theirs("z")], &Overtaken::default());
        assert_eq!((names(&sorted.again), names(&sorted.met)), (String::new(), "a b".to_owned()), "else it would go round for ever");
    }

    #[test]
    fn a_newer_write_of_the_app_is_never_overwritten() {
        let since = overtaken(&[("put", Op::Put), ("gone", Op::Remove), ("added", Op::Add), ("both", Op::Put), ("both", Op::Add)]);
        let sorted = after_conflict(offers("a put gone added both met"), &[theirs("met")], &since);
        assert_eq!((names(&sorted.again), names(&sorted.met)), ("a".to_owned(), "added met".to_owned()));
    }

    #[test]
    fn only_offered_keys_are_noted() {
        let mut noted = Overtaken::default();
        noted.by(&Overtaken::of(&offers("a b")), &offers("b c"));
        assert_eq!(noted, overtaken(&[("b", Op::Put)]));
        assert!(noted.replaces(&key("b")) && !noted.replaces(&key("a")));
    }

    #[test]
    fn a_refused_patch_goes_again_in_halves_until_it_is_known_which_change_it_is_about() {
        let (halves, met) = after_refusal(offers("a b c d e"), &overtaken(&[("b", Op::Put), ("e", Op::Merge)]));
        assert_eq!(halves.iter().map(|half| names(half)).collect::<Vec<_>>(), ["a c d"], "smaller than before");
        assert_eq!(names(&met), "e");
        let (halves, _) = after_refusal(offers("a b c"), &Overtaken::default());
        assert_eq!(halves.iter().map(|half| names(half)).collect::<Vec<_>>(), ["a b", "c"]);
        assert_eq!(after_refusal(offers("a b"), &overtaken(&[("a", Op::Put), ("b", Op::Put)])).0, [[]; 0]);
    }
}
