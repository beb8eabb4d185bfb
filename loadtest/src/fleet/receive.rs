//! Reads the devices' sockets, and handles what they receive.

use std::time::{Duration, Instant};

use driftless_protocol::{ClientMessage, Position, ServerMessage};

use super::incoming::{ReceivedItem, next_item};
use super::{ACK_DELAY, DeviceStage, Fleet, FleetEvent, FleetEventKind};
use crate::device_socket::SocketFlow;

impl Fleet {
    pub(super) fn writable(&mut self, device: u32) {
        let known = &mut self.devices[device as usize];
        let Some(socket) = &mut known.socket else { return };
        let sent = match known.stage {
            DeviceStage::Connecting => {
                known.stage = DeviceStage::Upgrading;
                socket.send(&self.upgrade_request)
            }
            _ => socket.flush(),
        };
        // A write error is ignored: the next read fails too, and ends the socket.
        let _ = sent;
    }

    /// `ends`: the peer has shut down its side, so the socket must be read to its end.
    pub(super) fn readable(&mut self, device: u32, ends: bool, events: &mut Vec<FleetEvent>) {
        let known = &mut self.devices[device as usize];
        if known.stage == DeviceStage::NotReading {
            return;
        }
        let Some(socket) = &mut known.socket else { return };
        let (codec, items, bytes) = (self.config.codec, &mut self.incoming, &mut self.bytes);
        let mut is_upgraded = !matches!(known.stage, DeviceStage::Connecting | DeviceStage::Upgrading);
        let flow = socket.read(&mut self.buffer, ends, |received| {
            let mut consumed = 0;
            while let Some((item, length)) = next_item(&received[consumed..], is_upgraded, codec) {
                is_upgraded = true;
                consumed += length;
                *bytes += length as u64;
                items.extend(item);
            }
            consumed
        });
        let at = Instant::now();
        let mut items = std::mem::take(&mut self.incoming);
        let mut ended = None;
        for item in items.drain(..) {
            match item {
                ReceivedItem::Upgraded => self.send_hello(device),
                ReceivedItem::Message(message) => self.handle_message(device, message, at, events),
                ReceivedItem::Close(code) => ended = Some(code),
                ReceivedItem::Invalid(why) => {
                    eprintln!("device {device}: {why}");
                    ended = Some(None);
                }
            }
        }
        self.incoming = items;
        if ended.is_some() || !matches!(flow, Ok(SocketFlow::Open)) {
            self.socket_ended(device, ended.flatten(), None, at, events);
        }
    }

    fn handle_message(&mut self, device: u32, message: ServerMessage, at: Instant, events: &mut Vec<FleetEvent>) {
        let known = &mut self.devices[device as usize];
        match (message, known.stage) {
            (ServerMessage::Welcome { patch, heartbeat_s, .. }, DeviceStage::Greeting) => {
                known.stage = DeviceStage::Opening;
                // The server may not have received all patches, but their numbers are used up.
                known.patch = patch.max(known.patch);
                self.heartbeat_s = heartbeat_s;
                let version = known.version;
                let position = self.epoch.clone().filter(|_| version > 0).map(|epoch| Position { epoch, version });
                let dataset = self.config.dataset.clone();
                self.send_message(device, &ClientMessage::Open { dataset, position });
            }
            (ServerMessage::Changes { to, more, epoch, .. }, DeviceStage::Opening) => {
                known.version = to;
                if !more {
                    known.stage = DeviceStage::Open;
                    known.attempts = 0;
                    let took = (self.began.elapsed().as_millis() as u32).saturating_sub(known.connect_began_ms);
                    self.epoch.get_or_insert(epoch);
                    self.connecting -= 1;
                    self.open += 1;
                    let took = Duration::from_millis(u64::from(took));
                    events.push(FleetEvent { device, at, kind: FleetEventKind::Open { took } });
                }
            }
            (ServerMessage::Pong, _) => self.pongs += 1,
            (ServerMessage::Bye { code, reconnect_after_ms, .. }, _) => {
                if let Some(ms) = reconnect_after_ms {
                    self.socket_ended(device, Some(code), Some(ms), at, events);
                }
            }
            (message, _) => {
                if let ServerMessage::Changes { to, .. } = &message {
                    known.version = *to;
                    self.schedule_ack(device, at);
                }
                events.push(FleetEvent { device, at, kind: FleetEventKind::Received(message) });
            }
        }
    }

    fn schedule_ack(&mut self, device: u32, at: Instant) {
        let known = &mut self.devices[device as usize];
        if self.config.acknowledges && !known.ack_is_due {
            known.ack_is_due = true;
            self.due_acks.push_back((at + ACK_DELAY, device));
        }
    }
}
