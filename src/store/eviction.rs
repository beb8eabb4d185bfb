//! Which devices make place for a new one: a function of what the identity's devices are. It reads and writes nothing.
//!
//! The device that was not seen for the longest time goes first, and one that pushes can wake goes only when no other is left: its user
//! expects it to be woken, while an id that a browser made and lost is never seen again. A device with a live session never goes.

use driftless_protocol::DeviceId;

/// Devices that one sign-in forgets at most. One makes place for one; more go, a few at a time, after a merge of two identities or when the
/// pool's limit was lowered.
const FORGOTTEN_AT_ONCE: usize = 4;

/// A device that counts towards the limit of its identity: one that is not revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CountedDevice {
    pub device: DeviceId,
    /// When it was last seen, in milliseconds since 1970 (UTC).
    pub seen_ms: u64,
    /// Whether it has a live push token.
    pub is_registered: bool,
    /// Whether it has a session now.
    pub is_live: bool,
}

/// Whether there is a place for one more device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PlaceDecision {
    Free,
    /// There is one after these devices are forgotten.
    Forget(Vec<DeviceId>),
    /// As many devices as there may be have a session.
    NoPlace,
}

/// Decides how an identity that may have `most` devices gets a place for a new one.
pub(super) fn make_place(mut devices: Vec<CountedDevice>, most: usize) -> PlaceDecision {
    let excess = (devices.len() + 1).saturating_sub(most);
    if excess == 0 {
        return PlaceDecision::Free;
    }
    if devices.iter().filter(|device| device.is_live).count() >= most {
        return PlaceDecision::NoPlace;
    }
    devices.retain(|device| !device.is_live);
    devices.sort_by(|one, other| {
        let order = |device: &CountedDevice| (device.is_registered, device.seen_ms);
        order(one).cmp(&order(other)).then_with(|| one.device.as_str().cmp(other.device.as_str()))
    });
    devices.truncate(excess.min(FORGOTTEN_AT_ONCE));
    PlaceDecision::Forget(devices.into_iter().map(|device| device.device).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, seen_ms: u64) -> CountedDevice {
        CountedDevice { device: id(name), seen_ms, is_registered: false, is_live: false }
    }

    fn id(name: &str) -> DeviceId {
        DeviceId::new(name).expect("a device")
    }

    fn forget(names: &[&str]) -> PlaceDecision {
        PlaceDecision::Forget(names.iter().map(|name| id(name)).collect())
    }

    #[test]
    fn below_the_bound_nobody_makes_place() {
        assert_eq!(make_place(Vec::new(), 1), PlaceDecision::Free);
        assert_eq!(make_place(vec![device("a", 1), device("b", 2)], 3), PlaceDecision::Free);
    }

    #[test]
    fn the_longest_unseen_device_makes_place() {
        assert_eq!(make_place(vec![device("a", 3), device("b", 1), device("c", 2)], 3), forget(&["b"]));
        assert_eq!(make_place(vec![device("b", 1), device("a", 1)], 2), forget(&["a"]), "of equal ones the first by id");
    }

    #[test]
    fn a_registered_device_goes_last() {
        let old = CountedDevice { is_registered: true, ..device("phone", 1) };
        let newer = CountedDevice { is_registered: true, ..device("tablet", 2) };
        assert_eq!(make_place(vec![old.clone(), device("tab", 9)], 2), forget(&["tab"]));
        assert_eq!(make_place(vec![newer, old], 2), forget(&["phone"]), "of registered ones the longest unseen");
    }

    #[test]
    fn a_device_with_a_session_never_goes() {
        let live = |name: &str| CountedDevice { is_live: true, ..device(name, 1) };
        let registered = CountedDevice { is_registered: true, ..device("c", 9) };
        assert_eq!(make_place(vec![live("a"), live("b"), registered], 3), forget(&["c"]));
        assert_eq!(make_place(vec![live("a"), live("b"), live("c")], 3), PlaceDecision::NoPlace);
        assert_eq!(make_place(vec![live("a"), live("b"), device("c", 1)], 2), PlaceDecision::NoPlace, "the limit was lowered");
        assert_eq!(make_place(Vec::new(), 0), PlaceDecision::NoPlace);
    }

    #[test]
    fn far_above_the_bound_a_few_go_at_a_time() {
        let devices: Vec<_> = (0..9).map(|n| device(&format!("d{n}"), n)).collect();
        assert_eq!(make_place(devices.clone(), 3), forget(&["d0", "d1", "d2", "d3"]));
        assert_eq!(make_place(devices, 8), forget(&["d0", "d1"]));
    }
}
