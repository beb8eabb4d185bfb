//! Devices of a Redis server: the same sockets, poll and timer as those of [`Fleet`](crate::fleet::Fleet), with Redis' wire format.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use driftless_protocol::Value;
use mio::{Events, Interest, Poll, Token};

use super::redis_process::RedisProcess;
use super::resp::{self, RespValue};
use super::versioned_write::PersonKeys;
use super::{ComparedEvent, ComparedEventKind, ComparedFleet};
use crate::device_socket::{DeviceSocket, READ_BYTES, SocketFlow};
use crate::poll_timer::PollTimer;

/// The poll token of the timer; no device has it.
const TIMER_TOKEN: Token = Token(usize::MAX);

/// How long all devices may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Changes that are read with one command: some 250 KiB of them, as a page of Driftless has.
const PAGE_CHANGES: u64 = 1000;

/// One connection, of a device that writes or of one that receives.
struct RedisDevice {
    socket: Option<DeviceSocket>,
    is_connected: bool,
    version: u64,
}

pub struct RedisFleet {
    to: SocketAddr,
    script: String,
    poll: Poll,
    timer: PollTimer,
    poll_events: Events,
    persons: Vec<PersonKeys>,
    devices_per_person: u32,
    devices: Vec<RedisDevice>,
    buffer: Vec<u8>,
    command: Vec<u8>,
}

impl RedisFleet {
    /// Connects all devices.
    pub fn connect(server: &RedisProcess, prefix: &str, persons: u32, devices_per_person: u32) -> Result<RedisFleet, String> {
        let fail = |error: io::Error| format!("cannot create the fleet: {error}");
        let poll = Poll::new().map_err(fail)?;
        let device = || RedisDevice { socket: None, is_connected: false, version: 0 };
        let mut fleet = RedisFleet {
            to: server.address,
            script: server.script.clone(),
            timer: PollTimer::new(&poll, TIMER_TOKEN).map_err(fail)?,
            poll,
            poll_events: Events::with_capacity(4096),
            persons: (0..persons).map(|person| PersonKeys::new(&format!("{prefix}-{person}"))).collect(),
            devices_per_person,
            devices: (0..persons * devices_per_person).map(|_| device()).collect(),
            buffer: vec![0; READ_BYTES],
            command: Vec::new(),
        };
        let count = persons * devices_per_person;
        (0..count).try_for_each(|device| fleet.reconnect_at(device, 0))?;
        let (began, mut events, mut ready) = (Instant::now(), Vec::new(), 0);
        // A device that writes has nothing to receive before its first write.
        while ready < count - persons || fleet.devices.iter().any(|device| !device.is_connected) {
            fleet.poll(Duration::from_millis(50), &mut events)?;
            ready += events.drain(..).filter(|event| event.kind == ComparedEventKind::CaughtUp).count() as u32;
            if began.elapsed() > CONNECT_TIMEOUT {
                return Err(format!("{ready} of {count} devices connected to redis-server"));
            }
        }
        Ok(fleet)
    }

    fn is_writer(&self, device: u32) -> bool {
        device.is_multiple_of(self.devices_per_person)
    }

    fn keys(&self, device: u32) -> &PersonKeys {
        &self.persons[(device / self.devices_per_person) as usize]
    }

    /// The device's socket is connected: one that receives asks for what it missed, and subscribes.
    fn connected(&mut self, device: u32) -> Result<(), String> {
        self.devices[device as usize].is_connected = true;
        if self.is_writer(device) {
            return Ok(());
        }
        // It knows the newest version from its person's writer, which a real device would ask the server for.
        let newest = self.devices[(device / self.devices_per_person * self.devices_per_person) as usize].version;
        let mut command = std::mem::take(&mut self.command);
        command.clear();
        self.keys(device).catch_up(self.devices[device as usize].version, newest, PAGE_CHANGES, &mut command);
        self.command = command;
        self.send(device)
    }

    fn send(&mut self, device: u32) -> Result<(), String> {
        let socket = self.devices[device as usize].socket.as_mut().ok_or("the device has no socket")?;
        socket.send(&self.command).map_err(|error| format!("cannot send to redis-server: {error}"))
    }

    fn readable(&mut self, device: u32, ends: bool, events: &mut Vec<ComparedEvent>) -> Result<(), String> {
        let is_writer = self.is_writer(device);
        let RedisDevice { socket, version, .. } = &mut self.devices[device as usize];
        let Some(socket) = socket else { return Ok(()) };
        let mut fault = None;
        let flow = socket.read(&mut self.buffer, ends, |received| {
            let mut consumed = 0;
            loop {
                match resp::parse(&received[consumed..]) {
                    Ok(None) => return consumed,
                    Ok(Some((reply, length))) => {
                        consumed += length;
                        match reply_kind(reply, is_writer, version) {
                            Ok(Some(kind)) => events.push(ComparedEvent { device, at: Instant::now(), kind }),
                            Ok(None) => {}
                            Err(error) => fault = Some(error),
                        }
                    }
                    Err(invalid) => {
                        fault = Some(format!("redis-server sent something else than a reply: {invalid:?}"));
                        return received.len();
                    }
                }
            }
        });
        match (fault, flow) {
            (None, Ok(SocketFlow::Open)) => Ok(()),
            (Some(fault), _) => Err(fault),
            (None, _) => Err(format!("redis-server ended the connection of device {device}")),
        }
    }
}

/// What a reply means for a device, which has its version raised.
fn reply_kind(reply: RespValue, is_writer: bool, version: &mut u64) -> Result<Option<ComparedEventKind>, String> {
    match reply {
        RespValue::Number(written) if is_writer => {
            *version = (*version).max(written as u64);
            Ok(Some(ComparedEventKind::Written))
        }
        RespValue::List(items) => match items.first() {
            Some(RespValue::Text(kind)) if kind == b"message" => {
                let Some(RespValue::Text(text)) = items.get(2) else { return Err("a message without a text".to_owned()) };
                let number = text.split(|byte| *byte == b' ').next().and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
                *version = number.ok_or("a message without a version")?;
                Ok(Some(ComparedEventKind::Seen))
            }
            Some(RespValue::Text(kind)) if kind == b"subscribe" => Ok(Some(ComparedEventKind::CaughtUp)),
            // A page of changes: each has an id and its fields.
            Some(RespValue::List(_)) => {
                *version += items.len() as u64;
                Ok(None)
            }
            _ => Ok(None),
        },
        other => Err(format!("redis-server answered {other:?}")),
    }
}

impl ComparedFleet for RedisFleet {
    fn write(&mut self, device: u32, key: &str, value: &Value) {
        let base = self.devices[device as usize].version;
        let mut command = std::mem::take(&mut self.command);
        command.clear();
        self.keys(device).write(&self.script, key, value.text().unwrap_or_default(), base, &mut command);
        self.command = command;
        // A write error is ignored: the next read fails too.
        let _ = self.send(device);
    }

    fn version(&self, device: u32) -> u64 {
        self.devices[device as usize].version
    }

    fn disconnect(&mut self, device: u32) {
        let known = &mut self.devices[device as usize];
        known.is_connected = false;
        if let Some(mut socket) = known.socket.take() {
            let _ = self.poll.registry().deregister(&mut socket.stream);
        }
    }

    fn reconnect_at(&mut self, device: u32, version: u64) -> Result<(), String> {
        let fail = |error: io::Error| format!("device {device} cannot connect to redis-server: {error}");
        let mut socket = DeviceSocket::connect(self.to, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), None).map_err(fail)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut socket.stream, Token(device as usize), interest).map_err(fail)?;
        self.devices[device as usize] = RedisDevice { socket: Some(socket), is_connected: false, version };
        Ok(())
    }

    fn poll(&mut self, wait: Duration, events: &mut Vec<ComparedEvent>) -> Result<(), String> {
        let mut poll_events = std::mem::replace(&mut self.poll_events, Events::with_capacity(0));
        let timeout = self.timer.arm(wait).map_err(|error| format!("cannot set the timer: {error}"))?;
        match self.poll.poll(&mut poll_events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(format!("cannot poll the sockets: {error}")),
            _ => {}
        }
        for event in poll_events.iter().filter(|event| event.token() != TIMER_TOKEN) {
            let device = event.token().0 as u32;
            let known = &mut self.devices[device as usize];
            if event.is_writable() {
                match (&mut known.socket, known.is_connected) {
                    (Some(socket), true) => drop(socket.flush()),
                    (Some(_), false) => self.connected(device)?,
                    (None, _) => {}
                }
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.readable(device, event.is_read_closed(), events)?;
            }
        }
        self.poll_events = poll_events;
        Ok(())
    }
}
