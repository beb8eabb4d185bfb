//! What devices do unasked: they say something once a heartbeat, and acknowledge.

use std::time::Instant;

use driftless_protocol::ClientMessage;

use super::{Fleet, Stage};

impl Fleet {
    /// Every device says something once a heartbeat, each at its own moment of it.
    pub(super) fn beat(&mut self) {
        if self.heartbeat_s == 0 {
            return;
        }
        let devices = self.devices.len() as u64;
        // Somewhat early: a heartbeat that comes late counts as missed.
        let due = self.began.elapsed().as_millis() as u64 * devices / (self.heartbeat_s * 900);
        // Whoever was held up for more than a round catches up with one.
        self.beats = self.beats.max(due.saturating_sub(devices));
        while self.beats < due {
            let known = &mut self.devices[(self.beats % devices) as usize];
            self.beats += 1;
            if matches!(known.stage, Stage::Open | Stage::Stuck)
                && let Some(link) = &mut known.link
            {
                let _ = link.send(&self.ping);
                self.pings += u64::from(known.stage == Stage::Open);
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
