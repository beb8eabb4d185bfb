//! What happens to the server: restarts, days that pass, backups and restores.

use driftless::store;
use driftless_protocol::{CloseCode, Epoch};

use super::Simulation;
use crate::device::{ReceivedMessage, Transport};
use crate::script::{DATASETS, Delivery, MONTH};
use crate::support::wait_for;

const DAY_MS: u64 = 24 * 3600 * 1000;

impl Simulation {
    /// Restarts the server: it answers received patches, closes every session with `restarting`, and keeps all data.
    pub(super) async fn restart(&mut self, sends: Option<usize>) {
        let online = self.online();
        let sends = sends.filter(|at| online.contains(at));
        if let Some(at) = sends {
            self.devices[at].send_all().await;
        }
        self.drain(&online).await;
        self.server.restart().await;
        // The device that had patches in flight reconnects first, because the server may have received any of them.
        for at in sends.into_iter().chain(online) {
            self.connect_and_send(at, false, Delivery::Answered).await;
        }
    }

    /// Advances the clock while the server is down, and waits until the reaper has reaped; no device connects before.
    pub(super) async fn advance_days(&mut self, days: u64) {
        // A backup may lack the latest acknowledgements, so that tombstones may be reaped only because they have expired.
        let days = if self.restores > 0 { MONTH } else { days };
        let online = self.online();
        self.drain(&online).await;
        self.server.advance_clock(days * DAY_MS);
        self.server.restart().await;
        self.wait_for_reaper(days).await;
        for at in online {
            self.connect_and_send(at, false, Delivery::Answered).await;
        }
    }

    async fn wait_for_reaper(&mut self, days: u64) {
        let count = self.reference.reap(days) as f64;
        wait_for("reaping", async {
            while self.server.metric("driftless_reaper_reaped_total{outcome=\"tombstones\"}").await < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    fn online(&self) -> Vec<usize> {
        (0..self.devices.len()).filter(|at| self.devices[*at].is_online()).collect()
    }

    async fn drain(&mut self, online: &[usize]) {
        self.server.drain();
        for at in online {
            self.receive_until_closed(*at).await;
        }
    }

    async fn receive_until_closed(&mut self, at: usize) {
        // A server that shuts down ignores acknowledgements.
        let acks = std::mem::replace(&mut self.devices[at].acks, false);
        loop {
            match self.devices[at].receive(&mut self.epoch, true).await {
                Ok(ReceivedMessage::Answer { id, answer, records }) => {
                    let sent = self.compare(at, id, &answer);
                    self.devices[at].apply_answer(Transport::Socket, &sent, &answer, records).await;
                }
                Ok(ReceivedMessage::Page | ReceivedMessage::Pong | ReceivedMessage::Bye) => {}
                Err(end) => {
                    assert_eq!(end.code(), Some(CloseCode::Restarting), "{end}");
                    break;
                }
            }
        }
        self.devices[at].acks = acks;
        self.devices[at].socket = None;
    }

    /// Makes a backup while devices are connected.
    pub(super) async fn backup(&mut self) {
        let Some(epoch) = &self.epoch else { return };
        let reply = self.server.operator().get("/backup").await;
        assert!(reply.status == 200 && reply.is_complete, "{}", reply.status);
        std::fs::write(self.server.folder().join("backup"), reply.body).unwrap();
        self.backup = Some((self.reference.clone(), epoch.clone()));
    }

    /// Restores the last backup into a new store. The devices notice it when they reconnect; records that they offer again are patches
    /// like any other.
    pub(super) async fn restore(&mut self) {
        let Some((backup, taken_in)) = &self.backup else { return };
        self.restores += 1;
        let epoch = Epoch::new(&format!("restored-{}", self.restores)).unwrap();
        let today = self.reference.day;
        self.reference = backup.restored(taken_in.clone());
        // The reaper visits a store of an earlier day at once. Then every tombstone must have expired, so that it is certain which it reaps.
        let is_old = self.reference.day < today;
        self.reference.day = today;
        if is_old {
            self.server.advance_clock(MONTH * DAY_MS);
        }
        self.epoch = Some(epoch.clone());
        let online = self.online();
        // The devices have caught up, so nothing of the old store is lost with their sockets.
        online.iter().for_each(|at| self.devices[*at].socket = None);
        self.server
            .restart_after(|folder| {
                std::fs::remove_dir_all(folder.join("store")).unwrap();
                store::restore(&folder.join("backup"), &folder.join("store"), &store::EngineConfig::cached(16), &epoch, |_, _| {}).unwrap();
            })
            .await;
        if is_old {
            self.wait_for_reaper(MONTH).await;
        }
        for device in &mut self.devices {
            // A replayed patch would be new to this store, and a device notices a restore only in a dataset that it opens.
            device.past.clear();
            device.subscribed = [true; DATASETS.len()];
        }
        for at in online {
            self.connect_and_send(at, false, Delivery::Answered).await;
        }
    }
}
