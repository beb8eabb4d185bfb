//! How devices connect, disconnect and reconnect.

use std::cmp::Reverse;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use driftless_protocol::{ClientMessage, DeviceId};
use mio::{Interest, Token};

use super::{DeviceStage, Fleet, FleetEvent, FleetEventKind, MAX_CONNECTING};
use crate::device_socket::DeviceSocket;

/// Local ports per address. The fleet chooses ports itself, because the system takes long to find a free one among many.
const PORTS: std::ops::Range<u16> = 10_000..60_000;

/// The first and the longest back-off, in milliseconds. It doubles in between, as in the client library.
const BACKOFF_MS: (u64, u64) = (500, 30_000);

impl Fleet {
    /// Queues the devices whose back-off has ended.
    pub(super) fn queue_reconnects(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, device))) = self.reconnects.peek().copied()
            && at <= now
        {
            self.reconnects.pop();
            self.connect_queue.push_back(device);
        }
    }

    pub(super) fn start_connections(&mut self) -> Result<(), String> {
        while self.connecting < MAX_CONNECTING
            && let Some(device) = self.connect_queue.pop_front()
        {
            if self.devices[device as usize].stage != DeviceStage::Away {
                continue;
            }
            let from = self.next_local_address();
            let receive_kib = self.devices[device as usize].receive_kib;
            let receive_bytes = (receive_kib > 0).then_some(usize::from(receive_kib) * 1024);
            let mut socket = match DeviceSocket::connect(self.config.to, from, receive_bytes) {
                Ok(socket) => socket,
                Err(error) => return Err(format!("device {device} cannot connect: {error}")),
            };
            let registered =
                self.poll.registry().register(&mut socket.stream, Token(device as usize), Interest::READABLE | Interest::WRITABLE);
            registered.map_err(|error| format!("cannot poll the socket of device {device}: {error}"))?;
            let connect_began_ms = self.began.elapsed().as_millis() as u32;
            let known = &mut self.devices[device as usize];
            known.socket = Some(socket);
            known.stage = DeviceStage::Connecting;
            known.connect_began_ms = connect_began_ms;
            self.connecting += 1;
        }
        Ok(())
    }

    /// The local address and port that were used the longest ago.
    fn next_local_address(&mut self) -> SocketAddrV4 {
        let ports = u64::from(PORTS.end - PORTS.start);
        let (round, port) = (self.connects / ports, self.connects % ports);
        self.connects += 1;
        let address = Ipv4Addr::new(127, 1 + (round / 250 % 250) as u8, (round % 250) as u8, self.address_suffix);
        SocketAddrV4::new(address, PORTS.start + port as u16)
    }

    pub(super) fn send_hello(&mut self, device: u32) {
        self.devices[device as usize].stage = DeviceStage::Greeting;
        let (person, number) = (self.person(device), device % self.config.devices_per_person);
        let token = (self.config.sign)(person);
        let Ok(name) = DeviceId::new(&format!("device-{number}")) else { return };
        self.send_message(device, &ClientMessage::Hello { token, device: name, client: "driftless-loadtest".to_owned() });
    }

    /// A socket has ended. The device reconnects after the delay that the server asked for, or after a back-off.
    pub(super) fn socket_ended(
        &mut self,
        device: u32,
        code: Option<u16>,
        reconnect_after_ms: Option<u64>,
        at: Instant,
        events: &mut Vec<FleetEvent>,
    ) {
        if self.devices[device as usize].socket.is_none() {
            return;
        }
        self.close_socket(device);
        if self.config.reconnects {
            let known = &mut self.devices[device as usize];
            let max_ms = (BACKOFF_MS.0 << known.attempts.min(10)).min(BACKOFF_MS.1);
            known.attempts = known.attempts.saturating_add(1);
            let ms = reconnect_after_ms.unwrap_or_else(|| max_ms / 2 + self.rng.u64(..=max_ms / 2));
            self.reconnects.push(Reverse((at + Duration::from_millis(ms), device)));
        }
        events.push(FleetEvent { device, at, kind: FleetEventKind::Ended { code } });
    }

    pub(super) fn close_socket(&mut self, device: u32) {
        let known = &mut self.devices[device as usize];
        match known.stage {
            DeviceStage::Away | DeviceStage::NotReading => {}
            DeviceStage::Open => self.open -= 1,
            DeviceStage::Connecting | DeviceStage::Upgrading | DeviceStage::Greeting | DeviceStage::Opening => self.connecting -= 1,
        }
        known.stage = DeviceStage::Away;
        if let Some(mut socket) = known.socket.take() {
            let _ = self.poll.registry().deregister(&mut socket.stream);
        }
    }
}
