//! What devices do unasked: they say something once a heartbeat, and acknowledge.

use std::time::Instant;

use driftless_protocol::ClientMessage;

use super::{BEATS_PER_S, Fleet, Stage};

impl Fleet {
    /// Every device says something once a heartbeat, each at its own moment of it.
    pub(super) fn beat(&mut self) {
        if self.heartbeat_s == 0 {
            return;
        }
        let due = self.began.elapsed().as_millis() as u64 * BEATS_PER_S / 1000;
        // Somewhat early: a heartbeat that comes late counts as missed.
        let round = (self.heartbeat_s * BEATS_PER_S * 9 / 10).max(1);
        // Whoever was held up for more than a round catches up with one.
        self.beats = self.beats.max(due.saturating_sub(round));
        while self.beats < due {
            self.beats += 1;
            let mut device = self.beats % round;
            while let Some(known) = self.devices.get_mut(device as usize) {
                if matches!(known.stage, Stage::Open | Stage::Stuck)
                    && let Some(link) = &mut known.link
                {
                    let _ = link.send(&self.ping);
                    self.pings += u64::from(known.stage == Stage::Open);
                }
                device += round;
            }
        }
    }

    pub(super) fn acknowledge(&mut self) {
        let now = Instant::now();
        while let Some((at, device)) = self.acks.front().copied()
            && at <= now
        {
            self.acks.pop_front();
            let known = &mut self.devices[device as usize];
            known.acks = false;
            let version = known.version;
            if known.stage == Stage::Open {
                let dataset = self.plan.dataset.clone();
                self.say(device, &ClientMessage::Ack { dataset, version });
            }
        }
    }
}
