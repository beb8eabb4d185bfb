//! What devices hear, and what they make of it.

use std::time::{Duration, Instant};

use driftless_protocol::{ClientMessage, Codec, Position, ServerMessage};

use super::{ACK_AFTER, Fleet, News, Stage, What};
use crate::link::Flow;
use crate::wire::{self, Frame};

/// What was read from a link before it is acted on.
pub(super) enum Told {
    Upgraded,
    Message(ServerMessage),
    Close(Option<u16>),
    Broken(&'static str),
}

impl Fleet {
    pub(super) fn writable(&mut self, device: u32) {
        let known = &mut self.devices[device as usize];
        let Some(link) = &mut known.link else { return };
        let sent = match known.stage {
            Stage::Connecting => {
                known.stage = Stage::Upgrading;
                link.send(&self.request)
            }
            _ => link.flush(),
        };
        // What went wrong shows when it is read.
        let _ = sent;
    }

    pub(super) fn readable(&mut self, device: u32, ends: bool, news: &mut Vec<News>) {
        let known = &mut self.devices[device as usize];
        if known.stage == Stage::Stuck {
            return;
        }
        let Some(link) = &mut known.link else { return };
        let (codec, told, bytes) = (self.plan.codec, &mut self.told, &mut self.bytes);
        let mut upgraded = !matches!(known.stage, Stage::Connecting | Stage::Upgrading);
        let flow = link.read(&mut self.buffer, ends, |came| {
            let mut taken = 0;
            while let Some((one, length)) = next(&came[taken..], upgraded, codec) {
                upgraded = true;
                taken += length;
                *bytes += length as u64;
                told.extend(one);
            }
            taken
        });
        let at = Instant::now();
        let mut told = std::mem::take(&mut self.told);
        let mut ended = None;
        for one in told.drain(..) {
            match one {
                Told::Upgraded => self.greet(device),
                Told::Message(message) => self.heard(device, message, at, news),
                Told::Close(code) => ended = Some(code),
                Told::Broken(why) => {
                    eprintln!("device {device}: {why}");
                    ended = Some(None);
                }
            }
        }
        self.told = told;
        if ended.is_some() || !matches!(flow, Ok(Flow::Open)) {
            self.ended(device, ended.flatten(), None, at, news);
        }
    }

    pub(super) fn heard(&mut self, device: u32, message: ServerMessage, at: Instant, news: &mut Vec<News>) {
        let known = &mut self.devices[device as usize];
        match (message, known.stage) {
            (ServerMessage::Welcome { patch, heartbeat_s, .. }, Stage::Greeting) => {
                known.stage = Stage::Opening;
                // The server may not have had all that it wrote: those numbers are taken.
                known.patch = patch.max(known.patch);
                self.heartbeat_s = heartbeat_s;
                let version = known.version;
                let position = self.epoch.clone().filter(|_| version > 0).map(|epoch| Position { epoch, version });
                let dataset = self.plan.dataset.clone();
                self.say(device, &ClientMessage::Open { dataset, position });
            }
            (ServerMessage::Changes { to, more, epoch, .. }, Stage::Opening) => {
                known.version = to;
                if !more {
                    known.stage = Stage::Open;
                    known.tries = 0;
                    let took = (self.began.elapsed().as_millis() as u32).saturating_sub(known.came_ms);
                    self.epoch.get_or_insert(epoch);
                    self.arriving -= 1;
                    self.open += 1;
                    news.push(News { device, at, what: What::Open { took: Duration::from_millis(u64::from(took)) } });
                }
            }
            (ServerMessage::Pong, _) => self.pongs += 1,
            (ServerMessage::Bye { code, reconnect_after_ms, .. }, _) => {
                if let Some(ms) = reconnect_after_ms {
                    self.ended(device, Some(code), Some(ms), at, news);
                }
            }
            (message, _) => {
                if let ServerMessage::Changes { to, .. } = &message {
                    known.version = *to;
                    self.owe(device, at);
                }
                news.push(News { device, at, what: What::Says(message) });
            }
        }
    }

    /// A device has something to acknowledge.
    pub(super) fn owe(&mut self, device: u32, at: Instant) {
        let known = &mut self.devices[device as usize];
        if self.plan.acknowledges && !known.acks {
            known.acks = true;
            self.acks.push_back((at + ACK_AFTER, device));
        }
    }
}

/// The first thing that is whole in these bytes, if it is something to act on, and its length.
fn next(came: &[u8], upgraded: bool, codec: Codec) -> Option<(Option<Told>, usize)> {
    let broken = |why| Some((Some(Told::Broken(why)), came.len()));
    if came.is_empty() {
        return None;
    }
    if !upgraded {
        return match wire::accepted(came) {
            Ok(length) => length.map(|length| (Some(Told::Upgraded), length)),
            Err(_) => broken("the server does not open a socket"),
        };
    }
    let (frame, length) = match wire::parse(came) {
        Ok(parsed) => parsed?,
        Err(_) => return broken("bytes that are no frame"),
    };
    let told = match frame {
        Frame::Message(payload) => Some(codec.decode_server(payload).map_or(Told::Broken("a message that is none"), Told::Message)),
        Frame::Close(code) => Some(Told::Close(code)),
        Frame::Other => None,
    };
    Some((told, length))
}
