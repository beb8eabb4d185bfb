//! How devices come in, go, and come back.

use std::cmp::Reverse;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use driftless_protocol::{ClientMessage, DeviceId};
use mio::{Interest, Token};

use super::{ARRIVING, Fleet, News, Stage, What};
use crate::link::Link;

/// Ports that one address of this machine offers: they are named here, because the system takes long to find a free one among many.
const PORTS: std::ops::Range<u16> = 10_000..60_000;

/// The first and the longest back-off of a device whose socket ended; in between it doubles. As the client library does it.
const BACKOFF_MS: (u64, u64) = (500, 30_000);

impl Fleet {
    pub(super) fn come_back(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, device))) = self.later.peek().copied()
            && at <= now
        {
            self.later.pop();
            self.wanted.push_back(device);
        }
    }

    pub(super) fn bring_in(&mut self) -> Result<(), String> {
        while self.arriving < ARRIVING
            && let Some(device) = self.wanted.pop_front()
        {
            if self.devices[device as usize].stage != Stage::Away {
                continue;
            }
            let from = self.next_address();
            let receive = self.devices[device as usize].receive_kib;
            let receive = (receive > 0).then_some(usize::from(receive) * 1024);
            let mut link = match Link::connect(self.plan.to, from, receive) {
                Ok(link) => link,
                Err(error) => return Err(format!("device {device} cannot connect: {error}")),
            };
            let registered =
                self.poll.registry().register(&mut link.stream, Token(device as usize), Interest::READABLE | Interest::WRITABLE);
            registered.map_err(|error| format!("device {device} cannot be waited for: {error}"))?;
            let came_ms = self.began.elapsed().as_millis() as u32;
            let known = &mut self.devices[device as usize];
            known.link = Some(link);
            known.stage = Stage::Connecting;
            known.came_ms = came_ms;
            self.arriving += 1;
        }
        Ok(())
    }

    /// An address and port of this machine that were not used for long.
    pub(super) fn next_address(&mut self) -> SocketAddrV4 {
        let ports = u64::from(PORTS.end - PORTS.start);
        let (round, port) = (self.connects / ports, self.connects % ports);
        self.connects += 1;
        let address = Ipv4Addr::new(127, 1 + (round / 250 % 250) as u8, (round % 250) as u8, self.quarter);
        SocketAddrV4::new(address, PORTS.start + port as u16)
    }

    pub(super) fn greet(&mut self, device: u32) {
        self.devices[device as usize].stage = Stage::Greeting;
        let (person, number) = (self.person(device), device % self.plan.devices_per_person);
        let token = (self.plan.mint)(person);
        let Ok(name) = DeviceId::new(&format!("device-{number}")) else { return };
        self.say(device, &ClientMessage::Hello { token, device: name, client: "driftless-loadtest".to_owned() });
    }

    /// A socket is gone. The device comes back when it was told to, or after a back-off.
    pub(super) fn ended(&mut self, device: u32, code: Option<u16>, told_ms: Option<u64>, at: Instant, news: &mut Vec<News>) {
        if self.devices[device as usize].link.is_none() {
            return;
        }
        self.drop_link(device);
        if self.plan.returns {
            let known = &mut self.devices[device as usize];
            let most_ms = (BACKOFF_MS.0 << known.tries.min(10)).min(BACKOFF_MS.1);
            known.tries = known.tries.saturating_add(1);
            let ms = told_ms.unwrap_or_else(|| most_ms / 2 + self.chance.u64(..=most_ms / 2));
            self.later.push(Reverse((at + Duration::from_millis(ms), device)));
        }
        news.push(News { device, at, what: What::Ended { code } });
    }

    pub(super) fn drop_link(&mut self, device: u32) {
        let known = &mut self.devices[device as usize];
        match known.stage {
            Stage::Away | Stage::Stuck => {}
            Stage::Open => self.open -= 1,
            Stage::Connecting | Stage::Upgrading | Stage::Greeting | Stage::Opening => self.arriving -= 1,
        }
        known.stage = Stage::Away;
        if let Some(mut link) = known.link.take() {
            let _ = self.poll.registry().deregister(&mut link.stream);
        }
    }
}
