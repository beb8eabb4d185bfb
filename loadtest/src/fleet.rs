//! Simulated devices: one thread polls all sockets, and each device takes few bytes.
//! The fleet reports what happens to devices as [`FleetEvent`]s; the workload decides what they do.
//!
//! A device connects, sends its hello, opens its dataset from its position, sends heartbeats, and acknowledges changes within a second.
//! When its socket ends, it reconnects as the protocol requires: at the time that the server named, or after a back-off.

mod connect;
mod incoming;
mod receive;
mod timers;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use driftless_protocol::{Change, ClientMessage, Codec, DatasetName, Epoch, Key, Op, ServerMessage, Value};
use fastrand::Rng;
use mio::{Events, Poll, Token};

use crate::device_socket::{DeviceSocket, READ_BYTES};
use crate::poll_timer::PollTimer;
use crate::websocket;

/// Devices that may be connecting at once: fewer than a listener's backlog holds.
const MAX_CONNECTING: usize = 512;

/// How often due heartbeats are sent.
const HEARTBEAT_TICK: Duration = Duration::from_millis(10);

/// How long a device delays an acknowledgement, so that one covers several changes.
const ACK_DELAY: Duration = Duration::from_secs(1);

/// The poll token of the timer; no device has it.
const TIMER_TOKEN: Token = Token(usize::MAX);

/// Gives each fleet of this process its own local addresses.
static NEXT_ADDRESS_SUFFIX: AtomicU8 = AtomicU8::new(0);

/// What the devices of a fleet have in common.
pub struct FleetConfig {
    /// The server's address.
    pub to: SocketAddr,
    pub codec: Codec,
    pub devices: u32,
    /// Devices per person. The devices of one person have consecutive numbers.
    pub devices_per_person: u32,
    /// The dataset that each device opens.
    pub dataset: DatasetName,
    /// Signs a token for a person.
    pub sign: Box<dyn Fn(u32) -> String + Send>,
    /// Whether devices reconnect when their socket ends.
    pub reconnects: bool,
    /// Whether devices acknowledge changes.
    pub acknowledges: bool,
    /// The seed of the back-offs' random numbers.
    pub seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeviceStage {
    Away,
    Connecting,
    Upgrading,
    Greeting,
    Opening,
    Open,
    /// Open, but the device does not read its socket.
    NotReading,
}

struct SimulatedDevice {
    socket: Option<DeviceSocket>,
    stage: DeviceStage,
    ack_is_due: bool,
    /// Connection attempts since the device was last open.
    attempts: u8,
    /// The socket's receive buffer in KiB; 0 for the system's default.
    receive_kib: u16,
    /// Milliseconds since the fleet's start.
    connect_began_ms: u32,
    version: u64,
    patch: u64,
}

/// What happened to a device.
#[derive(Debug)]
pub struct FleetEvent {
    pub device: u32,
    pub at: Instant,
    pub kind: FleetEventKind,
}

#[derive(Debug)]
pub enum FleetEventKind {
    /// The device has its whole dataset. `took` is the time since its first packet.
    Open { took: Duration },
    /// The device received a message that the fleet does not handle itself, for example changes to the open dataset.
    Received(ServerMessage),
    /// The socket ended. The device reconnects if the fleet is configured so.
    Ended { code: Option<u16> },
}

pub struct Fleet {
    config: FleetConfig,
    poll: Poll,
    timer: PollTimer,
    poll_events: Events,
    devices: Vec<SimulatedDevice>,
    /// The encoded upgrade request, the same for all devices.
    upgrade_request: Vec<u8>,
    /// An encoded ping.
    ping: Vec<u8>,
    buffer: Vec<u8>,
    message: Vec<u8>,
    frame: Vec<u8>,
    incoming: Vec<incoming::ReceivedItem>,
    epoch: Option<Epoch>,
    connect_queue: VecDeque<u32>,
    connecting: usize,
    reconnects: BinaryHeap<Reverse<(Instant, u32)>>,
    due_acks: VecDeque<(Instant, u32)>,
    rng: Rng,
    began: Instant,
    heartbeat_s: u64,
    heartbeats: u64,
    connects: u64,
    /// The last octet of the fleet's local addresses.
    address_suffix: u8,
    open: usize,
    /// Pings that open devices have sent.
    pub pings: u64,
    /// Pongs that devices have received.
    pub pongs: u64,
    /// Bytes that devices have received.
    pub bytes: u64,
    /// Bytes of messages that devices have sent, those included that a socket has not accepted yet.
    pub sent_bytes: u64,
}

impl Fleet {
    /// A fleet whose devices are all disconnected.
    pub fn new(config: FleetConfig) -> io::Result<Fleet> {
        let (mut ping, poll) = (Vec::new(), Poll::new()?);
        let timer = PollTimer::new(&poll, TIMER_TOKEN)?;
        websocket::frame(opcode(config.codec), &config.codec.encode(&ClientMessage::Ping), &mut ping);
        let device = || SimulatedDevice {
            socket: None,
            stage: DeviceStage::Away,
            ack_is_due: false,
            attempts: 0,
            receive_kib: 0,
            connect_began_ms: 0,
            version: 0,
            patch: 0,
        };
        Ok(Fleet {
            poll,
            timer,
            poll_events: Events::with_capacity(4096),
            devices: (0..config.devices).map(|_| device()).collect(),
            upgrade_request: websocket::upgrade_request(&config.to.to_string(), config.codec),
            ping,
            buffer: vec![0; READ_BYTES],
            message: Vec::new(),
            frame: Vec::new(),
            incoming: Vec::new(),
            epoch: None,
            connect_queue: VecDeque::new(),
            connecting: 0,
            reconnects: BinaryHeap::new(),
            due_acks: VecDeque::new(),
            rng: Rng::with_seed(config.seed),
            began: Instant::now(),
            heartbeat_s: 0,
            heartbeats: 0,
            connects: 0,
            address_suffix: NEXT_ADDRESS_SUFFIX.fetch_add(1, Ordering::Relaxed) % 250 + 1,
            open: 0,
            pings: 0,
            pongs: 0,
            bytes: 0,
            sent_bytes: 0,
            config,
        })
    }

    /// Queues a device to connect.
    pub fn connect(&mut self, device: u32) {
        self.connect_queue.push_back(device);
    }

    /// The number of devices that have their whole dataset open.
    pub fn open(&self) -> usize {
        self.open
    }

    pub fn size(&self) -> u32 {
        self.config.devices
    }

    /// The person that owns a device.
    pub fn person(&self, device: u32) -> u32 {
        device / self.config.devices_per_person
    }

    /// The version that a device has.
    pub fn version(&self, device: u32) -> u64 {
        self.devices[device as usize].version
    }

    /// Whether a device has its whole dataset open.
    pub fn is_open(&self, device: u32) -> bool {
        self.devices[device as usize].stage == DeviceStage::Open
    }

    /// Whether a device is past its handshake, also if it does not read.
    pub fn is_connected(&self, device: u32) -> bool {
        matches!(self.devices[device as usize].stage, DeviceStage::Open | DeviceStage::NotReading)
    }

    /// Advances a device to the version that its own write made.
    pub fn set_written_version(&mut self, device: u32, version: u64) {
        let known = &mut self.devices[device as usize];
        known.version = known.version.max(version);
    }

    /// From now on devices reconnect when their socket ends.
    pub fn reconnect_from_now_on(&mut self) {
        self.config.reconnects = true;
    }

    /// The heartbeat interval that the server asked for, in seconds; 0 before the first welcome.
    pub fn heartbeat_s(&self) -> u64 {
        self.heartbeat_s
    }

    /// Sets the receive buffer of a device's next sockets.
    pub fn limit_receive_buffer(&mut self, device: u32, receive_kib: u16) {
        self.devices[device as usize].receive_kib = receive_kib;
    }

    /// A device stops reading its socket, but still sends heartbeats.
    pub fn stop_reading(&mut self, device: u32) {
        let device = &mut self.devices[device as usize];
        if device.stage == DeviceStage::Open {
            device.stage = DeviceStage::NotReading;
            self.open -= 1;
        }
    }

    /// A device reads its socket again.
    pub fn resume_reading(&mut self, device: u32, events: &mut Vec<FleetEvent>) {
        let known = &mut self.devices[device as usize];
        if known.stage == DeviceStage::NotReading {
            known.stage = DeviceStage::Open;
            self.open += 1;
            // The poll is edge-triggered: it does not report again what came meanwhile.
            self.readable(device, true, events);
        }
    }

    /// Sets the version of a device that is disconnected.
    pub fn set_version(&mut self, device: u32, version: u64) {
        self.devices[device as usize].version = version;
    }

    /// Closes a device's socket without a close frame. The device does not reconnect by itself.
    pub fn disconnect(&mut self, device: u32) {
        self.close_socket(device);
    }

    /// Writes one record without a base; returns the patch number.
    pub fn put(&mut self, device: u32, key: &str, value: Value) -> u64 {
        self.write(device, vec![change(key, value)])
    }

    /// Writes a patch; returns its number.
    pub fn write(&mut self, device: u32, changes: Vec<Change>) -> u64 {
        let id = self.next_patch_number(device);
        self.send_patch(device, id, changes);
        id
    }

    /// Takes the number for a device's next patch.
    pub fn next_patch_number(&mut self, device: u32) -> u64 {
        let known = &mut self.devices[device as usize];
        known.patch += 1;
        known.patch
    }

    /// Sends a patch, for the first time or again.
    pub fn send_patch(&mut self, device: u32, id: u64, changes: Vec<Change>) {
        let dataset = self.config.dataset.clone();
        self.send_message(device, &ClientMessage::Write { id, dataset, changes, offer: false });
    }

    /// Sends a message. A write error is ignored: the next read fails too, and ends the socket.
    pub fn send_message(&mut self, device: u32, message: &ClientMessage) {
        self.message.clear();
        self.config.codec.encode_into(message, &mut self.message);
        self.frame.clear();
        websocket::frame(opcode(self.config.codec), &self.message, &mut self.frame);
        if let Some(socket) = &mut self.devices[device as usize].socket {
            self.sent_bytes += self.frame.len() as u64;
            let _ = socket.send(&self.frame);
        }
    }

    /// Whether a device's socket has accepted all that the device sent.
    pub fn has_sent_all(&self, device: u32) -> bool {
        self.devices[device as usize].socket.as_ref().is_none_or(DeviceSocket::has_sent_all)
    }

    /// Sends what is due, polls the sockets once, for `wait` at most, and appends what happened to `events`.
    pub fn poll_events(&mut self, wait: Duration, events: &mut Vec<FleetEvent>) -> Result<(), String> {
        self.queue_reconnects();
        self.start_connections()?;
        self.send_heartbeats();
        self.send_acks();
        let wait = self.limit_wait(wait);
        let mut poll_events = std::mem::replace(&mut self.poll_events, Events::with_capacity(0));
        let timeout = self.timer.arm(wait);
        let polled = self.poll.poll(&mut poll_events, timeout.map_err(|error| format!("cannot set the timer: {error}"))?);
        if let Err(error) = polled
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(format!("cannot poll the sockets: {error}"));
        }
        for event in &poll_events {
            if event.token() == TIMER_TOKEN {
                continue;
            }
            let device = event.token().0 as u32;
            if event.is_writable() {
                self.writable(device);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.readable(device, event.is_read_closed(), events);
            }
        }
        self.poll_events = poll_events;
        Ok(())
    }

    /// Shortens a wait so that nothing is sent late.
    fn limit_wait(&self, wait: Duration) -> Duration {
        let now = Instant::now();
        let mut wait = wait;
        if let Some(Reverse((at, _))) = self.reconnects.peek() {
            wait = wait.min(at.saturating_duration_since(now));
        }
        if let Some((at, _)) = self.due_acks.front() {
            wait = wait.min(at.saturating_duration_since(now));
        }
        if self.open > 0 {
            wait = wait.min(HEARTBEAT_TICK);
        }
        if !self.connect_queue.is_empty() && self.connecting < MAX_CONNECTING {
            wait = Duration::ZERO;
        }
        wait
    }
}

/// A put without a base, which always wins.
pub fn change(key: &str, value: Value) -> Change {
    Change::new(Key::new(key).unwrap_or_else(|_| unreachable!("the workloads' keys are short")), Op::Put, value)
}

fn opcode(codec: Codec) -> u8 {
    match codec {
        Codec::MsgPack => websocket::BINARY,
        Codec::Json => websocket::TEXT,
    }
}
