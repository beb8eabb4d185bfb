//! One wheel of deadlines for all sessions, turned by one timer. Pure: the time is an argument.
//!
//! A deadline is a mailbox in the slot of its second. When the second comes, the mailbox is marked, and its session looks at its own
//! deadlines and asks again. So a message that pushes a deadline out costs nothing here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::hub::{Mailbox, Mark};

/// Seconds that the wheel spans; a later deadline is looked at when they are over, and set again by its session.
const SLOTS: u64 = 256;

/// The deadlines of all sessions; cheap to clone.
#[derive(Clone, Debug)]
pub struct Wheel {
    inner: Arc<Mutex<Slots>>,
}

#[derive(Debug)]
struct Slots {
    /// The last second that was handled.
    now_s: u64,
    slots: Vec<Vec<Arc<Mailbox>>>,
}

impl Default for Wheel {
    fn default() -> Wheel {
        let slots = (0..SLOTS).map(|_| Vec::new()).collect();
        Wheel { inner: Arc::new(Mutex::new(Slots { now_s: 0, slots })) }
    }
}

impl Wheel {
    /// Has a mailbox marked when a moment has passed, in milliseconds of the clock that [`Wheel::turn`] is given, or when the wheel has gone
    /// round, whichever is earlier. Returns the moment by which that will have been.
    pub fn add(&self, at_ms: u64, mailbox: &Arc<Mailbox>) -> u64 {
        let mut wheel = self.lock();
        // Rounded up: a mark comes late rather than early, and never into a slot that is being handled.
        let at_s = (at_ms / 1000 + 1).clamp(wheel.now_s + 1, wheel.now_s + SLOTS - 1);
        wheel.slots[(at_s % SLOTS) as usize].push(Arc::clone(mailbox));
        at_s * 1000
    }

    /// Marks the mailboxes of all seconds up to now.
    pub fn turn(&self, now_ms: u64) {
        let now_s = now_ms / 1000;
        loop {
            let due = {
                let mut wheel = self.lock();
                if wheel.now_s >= now_s {
                    return;
                }
                wheel.now_s += 1;
                let slot = (wheel.now_s % SLOTS) as usize;
                std::mem::take(&mut wheel.slots[slot])
            };
            for mailbox in due {
                mailbox.mark(Mark::Tick);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn rang(mailbox: &Mailbox) -> bool {
        mailbox.marks().now_or_never().is_some()
    }

    #[test]
    fn a_deadline_rings_once_and_not_before_its_time() {
        let (wheel, mailbox) = (Wheel::default(), Arc::new(Mailbox::new(1)));
        wheel.add(5_500, &mailbox);
        wheel.turn(5_999);
        assert!(!rang(&mailbox));
        wheel.turn(6_000);
        assert!(rang(&mailbox));
        wheel.turn(1_000_000);
        assert!(!rang(&mailbox));
    }

    #[test]
    fn a_late_wheel_leaves_no_deadline_out() {
        let wheel = Wheel::default();
        let mailboxes: Vec<_> = (1..200).map(|n| Arc::new(Mailbox::new(n))).collect();
        for (second, mailbox) in mailboxes.iter().enumerate() {
            wheel.add(second as u64 * 1000, mailbox);
        }
        wheel.turn(500_000);
        assert!(mailboxes.iter().all(|mailbox| rang(mailbox)));
    }

    #[test]
    fn a_deadline_beyond_the_wheel_is_looked_at_early() {
        let (wheel, mailbox) = (Wheel::default(), Arc::new(Mailbox::new(1)));
        assert_eq!(wheel.add(86_400_000, &mailbox), (SLOTS - 1) * 1000);
        wheel.turn(SLOTS * 1000);
        assert!(rang(&mailbox));
    }

    #[test]
    fn a_past_deadline_rings_at_the_next_turn() {
        let (wheel, mailbox) = (Wheel::default(), Arc::new(Mailbox::new(1)));
        wheel.turn(10_000);
        wheel.add(3_000, &mailbox);
        wheel.turn(11_000);
        assert!(rang(&mailbox));
    }
}
