//! What devices send on a timer: heartbeats and acknowledgements.

use std::time::Instant;

use driftless_protocol::ClientMessage;

use super::{DeviceStage, Fleet};

impl Fleet {
    /// Sends one ping per device and heartbeat interval, spread evenly over the interval.
    pub(super) fn send_heartbeats(&mut self) {
        if self.heartbeat_s == 0 {
            return;
        }
        let devices = self.devices.len() as u64;
        // At 90 % of the interval: the server counts a late heartbeat as missed.
        let due = self.began.elapsed().as_millis() as u64 * devices / (self.heartbeat_s * 900);
        // After a delay of more than one interval, each device sends only one ping.
        self.heartbeats = self.heartbeats.max(due.saturating_sub(devices));
        while self.heartbeats < due {
            let known = &mut self.devices[(self.heartbeats % devices) as usize];
            self.heartbeats += 1;
            if matches!(known.stage, DeviceStage::Open | DeviceStage::NotReading)
                && let Some(socket) = &mut known.socket
            {
                let _ = socket.send(&self.ping);
                self.pings += u64::from(known.stage == DeviceStage::Open);
            }
        }
    }

    pub(super) fn send_acks(&mut self) {
        let now = Instant::now();
        while let Some((at, device)) = self.due_acks.front().copied()
            && at <= now
        {
            self.due_acks.pop_front();
            let known = &mut self.devices[device as usize];
            known.ack_is_due = false;
            let version = known.version;
            if known.stage == DeviceStage::Open {
                let dataset = self.config.dataset.clone();
                self.send_message(device, &ClientMessage::Ack { dataset, version });
            }
        }
    }
}
