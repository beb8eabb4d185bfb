//! The deadline of a transfer, which moves with the bytes that the transfer brings: a slow line that delivers all the time is not silent, and
//! a peer that trickles below the floor is. Pure: time and bytes are arguments.
//!
//! A slow transfer keeps a message in memory for as long as it lasts, so only a few may go on beyond the time that every transfer has. Devices
//! and operators have places of their own, and who has not proved to be either has none: nobody can hold the places of others.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slowest transfer that goes on, in bytes per second, averaged over its allowance. The worst mobile lines still carry it; the largest
/// message (2 MiB) takes 35 minutes.
pub const FLOOR_BYTES_PER_S: u64 = 1000;

/// How far a byte moves a deadline, in milliseconds.
const BYTE_MS: u64 = 1000 / FLOOR_BYTES_PER_S;

/// How many transfers of authenticated devices may last longer than their allowance at the same time. Each holds at most one message of 2 MiB,
/// so they hold 128 MiB at most, however many peers trickle at the floor. What finds no place ends when its allowance is over.
const DEVICE_PLACES: usize = 64;

/// The same for operators, whose downloads (a backup, an export) last minutes on a slow line. There are few operators, and all have one key.
const OPERATOR_PLACES: usize = 16;

/// Whose transfer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferParty {
    /// Nobody who has proved who they are. What the server sends them is small enough for every line within the allowance.
    Unauthenticated,
    Device,
    Operator,
}

/// When a transfer is over that brings no more bytes.
#[derive(Clone, Copy, Debug)]
pub struct TransferDeadline {
    at_ms: u64,
    allowance_ms: u64,
    /// When the allowance is over if no byte counts.
    plain_ms: u64,
    /// The counter of bytes when it was last looked at.
    bytes: u64,
}

impl TransferDeadline {
    /// For a transfer that begins now, and may bring nothing for `allowance_ms`. `bytes` is the present value of its counter.
    pub fn new(now_ms: u64, allowance_ms: u64, bytes: u64) -> TransferDeadline {
        let at_ms = now_ms.saturating_add(allowance_ms);
        TransferDeadline { at_ms, allowance_ms, plain_ms: at_ms, bytes }
    }

    /// Takes in the counter: each byte moves the deadline, but never farther than the allowance from now.
    pub fn count(&mut self, now_ms: u64, bytes: u64) {
        let moved_ms = bytes.wrapping_sub(self.bytes).saturating_mul(BYTE_MS);
        self.bytes = bytes;
        self.at_ms = self.at_ms.max(self.at_ms.saturating_add(moved_ms).min(now_ms.saturating_add(self.allowance_ms)));
    }

    /// Begins the transfer again later: time in which nobody took its bytes does not count.
    pub fn postpone(&mut self, by_ms: u64) {
        self.at_ms = self.at_ms.saturating_add(by_ms);
        self.plain_ms = self.plain_ms.saturating_add(by_ms);
    }

    pub fn at_ms(&self) -> u64 {
        self.at_ms
    }

    pub fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.at_ms
    }

    /// Whether the transfer goes on only because of its bytes.
    pub fn is_slow(&self, now_ms: u64) -> bool {
        now_ms >= self.plain_ms && now_ms < self.at_ms
    }
}

/// The places of slow transfers. Clones share them.
#[derive(Clone, Debug)]
pub struct SlowTransfers {
    devices: Arc<Semaphore>,
    operators: Arc<Semaphore>,
}

/// A slow transfer's place, until it is dropped.
#[derive(Debug)]
pub struct SlowTransfer {
    _place: OwnedSemaphorePermit,
}

impl Default for SlowTransfers {
    fn default() -> SlowTransfers {
        let places = |number| Arc::new(Semaphore::new(number));
        SlowTransfers { devices: places(DEVICE_PLACES), operators: places(OPERATOR_PLACES) }
    }
}

impl SlowTransfers {
    /// A place, if one is free for this party.
    pub fn enter(&self, party: TransferParty) -> Option<SlowTransfer> {
        let places = match party {
            TransferParty::Unauthenticated => return None,
            TransferParty::Device => &self.devices,
            TransferParty::Operator => &self.operators,
        };
        Some(SlowTransfer { _place: Arc::clone(places).try_acquire_owned().ok()? })
    }

    /// Keeps `place` in step with a transfer of this party: a slow one takes a place, any other gives it back. `false` if a slow one finds none.
    pub fn admit(&self, place: &mut Option<SlowTransfer>, is_slow: bool, party: TransferParty) -> bool {
        match (is_slow, place.is_some()) {
            (false, _) => *place = None,
            (true, true) => {}
            (true, false) => *place = self.enter(party),
        }
        !is_slow || place.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWANCE_MS: u64 = 30_000;

    /// How long a transfer lasts that brings `bytes_per_s`, looked at every `step_ms`, in milliseconds; at most an hour.
    fn lasts_ms(bytes_per_s: u64, step_ms: u64) -> u64 {
        let mut deadline = TransferDeadline::new(0, ALLOWANCE_MS, 0);
        for now_ms in (0..3_600_000).step_by(step_ms as usize) {
            deadline.count(now_ms, now_ms * bytes_per_s / 1000);
            if deadline.is_over(now_ms) {
                return now_ms;
            }
        }
        3_600_000
    }

    #[test]
    fn a_transfer_at_the_floor_goes_on_and_one_below_it_ends() {
        for step_ms in [1_000, 7_000, 29_000] {
            assert_eq!(lasts_ms(FLOOR_BYTES_PER_S, step_ms), 3_600_000, "in steps of {step_ms} ms");
            assert_eq!(lasts_ms(8 * FLOOR_BYTES_PER_S, step_ms), 3_600_000);
            assert!(lasts_ms(FLOOR_BYTES_PER_S / 2, step_ms) <= 2 * ALLOWANCE_MS + step_ms, "half of the floor");
        }
        assert!(lasts_ms(0, 1_000) <= ALLOWANCE_MS + 1_000);
    }

    #[test]
    fn a_burst_buys_no_more_than_the_allowance() {
        let mut deadline = TransferDeadline::new(0, ALLOWANCE_MS, 0);
        deadline.count(1_000, 2_000_000);
        assert_eq!(deadline.at_ms(), 1_000 + ALLOWANCE_MS);
        deadline.count(20_000, 2_000_000);
        assert_eq!(deadline.at_ms(), 1_000 + ALLOWANCE_MS, "time alone moves nothing");
    }

    #[test]
    fn a_transfer_is_slow_only_beyond_its_allowance() {
        let mut deadline = TransferDeadline::new(0, ALLOWANCE_MS, 0);
        deadline.count(20_000, 20_000);
        assert!(!deadline.is_slow(29_999));
        assert!(deadline.is_slow(30_000) && !deadline.is_over(30_000));
        assert!(!deadline.is_slow(50_000) && deadline.is_over(50_000));
    }

    #[test]
    fn the_places_of_slow_transfers_are_bounded() {
        let slow = SlowTransfers::default();
        let mut places: Vec<_> = (0..DEVICE_PLACES).map(|_| None).collect();
        assert!(places.iter_mut().all(|place| slow.admit(place, true, TransferParty::Device)));
        assert!(slow.admit(&mut places[0], true, TransferParty::Device), "it has its place already");
        let mut late = None;
        assert!(!slow.admit(&mut late, true, TransferParty::Device));
        assert!(slow.admit(&mut places[0], false, TransferParty::Device), "it is not slow any more");
        assert!(slow.admit(&mut late, true, TransferParty::Device));
    }

    #[test]
    fn nobody_holds_the_places_of_others() {
        let slow = SlowTransfers::default();
        let mut unauthenticated: Vec<_> = (0..1_000).map(|_| None).collect();
        assert!(unauthenticated.iter_mut().all(|place| !slow.admit(place, true, TransferParty::Unauthenticated)));
        let mut devices: Vec<_> = (0..1_000).map(|_| None).collect();
        let admitted = devices.iter_mut().filter_map(|place| slow.admit(place, true, TransferParty::Device).then_some(())).count();
        assert_eq!(admitted, DEVICE_PLACES);
        let mut backup = None;
        assert!(slow.admit(&mut backup, true, TransferParty::Operator), "devices hold none of the operators' places");
        let operators: Vec<_> = (0..1_000).filter_map(|_| slow.enter(TransferParty::Operator)).collect();
        assert_eq!(operators.len(), OPERATOR_PLACES - 1);
    }
}
