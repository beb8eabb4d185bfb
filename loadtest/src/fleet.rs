//! Simulated devices: one thread, one poll, some bytes for each. What happens to them is told as [`News`]; what they do about it is the
//! story's.
//!
//! A device connects, says hello, opens its dataset from the position that it has, says something once a heartbeat, and acknowledges
//! what it was sent within a second. When its socket ends it comes back as the protocol asks: when the server said, or with back-off.

mod coming;
mod duties;
mod hearing;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use driftless_protocol::{Change, ClientMessage, Codec, DatasetName, Epoch, Key, Op, ServerMessage, Value};
use fastrand::Rng;
use mio::{Events, Poll, Token};

use crate::alarm::Alarm;
use crate::link::{Link, READ_BYTES};
use crate::wire;

/// Devices that may be on their way in at once: less than what a listener's queue holds.
const ARRIVING: usize = 512;

/// How often it is looked whose heartbeat is due.
const BEAT: Duration = Duration::from_millis(10);

/// How long a device holds an acknowledgement back for company.
const ACK_AFTER: Duration = Duration::from_secs(1);

/// The token of the alarm; no device has it.
const ALARM: Token = Token(usize::MAX);

/// Fleets of this process have addresses of their own.
static QUARTERS: AtomicU8 = AtomicU8::new(0);

/// How the devices are.
pub struct Plan {
    /// The server.
    pub to: SocketAddr,
    /// How they speak.
    pub codec: Codec,
    /// How many there are.
    pub devices: u32,
    /// How many of them are of one person: neighbours.
    pub devices_per_person: u32,
    /// What they open.
    pub dataset: DatasetName,
    /// A token for a person.
    pub mint: Box<dyn Fn(u32) -> String>,
    /// Whether they come back when their socket ends.
    pub returns: bool,
    /// Whether they acknowledge.
    pub acknowledges: bool,
    /// The seed of their chance.
    pub seed: u64,
}

/// How far a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Away,
    Connecting,
    Upgrading,
    Greeting,
    Opening,
    Open,
    /// Open, and it reads no more.
    Stuck,
}

struct Device {
    link: Option<Link>,
    stage: Stage,
    acks: bool,
    tries: u8,
    /// Bytes of its socket's receive buffer, if not the system's choice.
    receive_kib: u16,
    came_ms: u32,
    version: u64,
    patch: u64,
}

/// What happened to a device.
#[derive(Debug)]
pub struct News {
    pub device: u32,
    pub at: Instant,
    pub what: What,
}

#[derive(Debug)]
pub enum What {
    /// It is in, and has all of its dataset. How long that took from its first packet.
    Open { took: Duration },
    /// The server says something that the fleet does not handle itself; changes of an open dataset among them.
    Says(ServerMessage),
    /// Its socket ended. It comes back if devices of this fleet return.
    Ended { code: Option<u16> },
}

/// All devices.
pub struct Fleet {
    plan: Plan,
    poll: Poll,
    alarm: Alarm,
    events: Events,
    devices: Vec<Device>,
    request: Vec<u8>,
    ping: Vec<u8>,
    buffer: Vec<u8>,
    message: Vec<u8>,
    frame: Vec<u8>,
    told: Vec<hearing::Told>,
    epoch: Option<Epoch>,
    wanted: VecDeque<u32>,
    arriving: usize,
    later: BinaryHeap<Reverse<(Instant, u32)>>,
    acks: VecDeque<(Instant, u32)>,
    chance: Rng,
    began: Instant,
    heartbeat_s: u64,
    beats: u64,
    connects: u64,
    /// The end of its addresses: no other fleet has it.
    quarter: u8,
    open: usize,
    /// Pings sent, and pongs that came.
    pub pings: u64,
    pub pongs: u64,
    /// Bytes that were read.
    pub bytes: u64,
}

impl Fleet {
    /// Devices that are all away.
    pub fn new(plan: Plan) -> io::Result<Fleet> {
        let (mut ping, poll) = (Vec::new(), Poll::new()?);
        let alarm = Alarm::new(&poll, ALARM)?;
        wire::frame(opcode(plan.codec), &plan.codec.encode(&ClientMessage::Ping), &mut ping);
        let device = || Device { link: None, stage: Stage::Away, acks: false, tries: 0, receive_kib: 0, came_ms: 0, version: 0, patch: 0 };
        Ok(Fleet {
            poll,
            alarm,
            events: Events::with_capacity(4096),
            devices: (0..plan.devices).map(|_| device()).collect(),
            request: wire::request(&plan.to.to_string(), plan.codec),
            ping,
            buffer: vec![0; READ_BYTES],
            message: Vec::new(),
            frame: Vec::new(),
            told: Vec::new(),
            epoch: None,
            wanted: VecDeque::new(),
            arriving: 0,
            later: BinaryHeap::new(),
            acks: VecDeque::new(),
            chance: Rng::with_seed(plan.seed),
            began: Instant::now(),
            heartbeat_s: 0,
            beats: 0,
            connects: 0,
            quarter: QUARTERS.fetch_add(1, Ordering::Relaxed) % 250 + 1,
            open: 0,
            pings: 0,
            pongs: 0,
            bytes: 0,
            plan,
        })
    }

    /// Has a device come in, as soon as there is room.
    pub fn summon(&mut self, device: u32) {
        self.wanted.push_back(device);
    }

    /// Devices that are in, with all of their dataset.
    pub fn open(&self) -> usize {
        self.open
    }

    /// How many devices there are.
    pub fn size(&self) -> u32 {
        self.plan.devices
    }

    /// Whose a device is.
    pub fn person(&self, device: u32) -> u32 {
        device / self.plan.devices_per_person
    }

    /// The version that a device has.
    pub fn version(&self, device: u32) -> u64 {
        self.devices[device as usize].version
    }

    /// Whether a device is in, with all of its dataset.
    pub fn is_open(&self, device: u32) -> bool {
        self.devices[device as usize].stage == Stage::Open
    }

    /// A device knows that it has this version: it wrote it.
    pub fn wrote(&mut self, device: u32, version: u64) {
        let known = &mut self.devices[device as usize];
        known.version = known.version.max(version);
    }

    /// Devices come back from now on when their socket ends.
    pub fn come_back_when_gone(&mut self) {
        self.plan.returns = true;
    }

    /// How often the server wants to hear of each, in seconds; 0 as long as nobody was welcomed.
    pub fn heartbeat_s(&self) -> u64 {
        self.heartbeat_s
    }

    /// Gives a device's next sockets a receive buffer of this size.
    pub fn narrow(&mut self, device: u32, receive_kib: u16) {
        self.devices[device as usize].receive_kib = receive_kib;
    }

    /// A device reads no more; as far as it knows all is well.
    pub fn stick(&mut self, device: u32) {
        let device = &mut self.devices[device as usize];
        if device.stage == Stage::Open {
            device.stage = Stage::Stuck;
            self.open -= 1;
        }
    }

    /// A device that was stuck reads again.
    pub fn unstick(&mut self, device: u32, news: &mut Vec<News>) {
        let known = &mut self.devices[device as usize];
        if known.stage == Stage::Stuck {
            known.stage = Stage::Open;
            self.open += 1;
            // What came meanwhile is announced no more.
            self.readable(device, true, news);
        }
    }

    /// A device that is away has seen only so much.
    pub fn rewind(&mut self, device: u32, version: u64) {
        self.devices[device as usize].version = version;
    }

    /// A device goes away for good, without a word.
    pub fn dismiss(&mut self, device: u32) {
        self.drop_link(device);
    }

    /// A device writes one record over whatever is there; returns the patch number.
    pub fn put(&mut self, device: u32, key: &str, value: Value) -> u64 {
        self.write(device, vec![change(key, value)])
    }

    /// A device writes; returns the patch number.
    pub fn write(&mut self, device: u32, changes: Vec<Change>) -> u64 {
        let id = self.number(device);
        self.send(device, id, changes);
        id
    }

    /// The number of a device's next patch.
    pub fn number(&mut self, device: u32) -> u64 {
        let known = &mut self.devices[device as usize];
        known.patch += 1;
        known.patch
    }

    /// A device sends a patch, perhaps not for the first time.
    pub fn send(&mut self, device: u32, id: u64, changes: Vec<Change>) {
        let dataset = self.plan.dataset.clone();
        self.say(device, &ClientMessage::Write { id, dataset, changes, offer: false });
    }

    /// A device says something. What goes wrong shows when it is listened to.
    pub fn say(&mut self, device: u32, message: &ClientMessage) {
        self.message.clear();
        self.plan.codec.encode_into(message, &mut self.message);
        self.frame.clear();
        wire::frame(opcode(self.plan.codec), &self.message, &mut self.frame);
        if let Some(link) = &mut self.devices[device as usize].link {
            let _ = link.send(&self.frame);
        }
    }

    /// Waits for something to happen, at most so long, and tells it.
    pub fn turn(&mut self, wait: Duration, news: &mut Vec<News>) -> Result<(), String> {
        self.come_back();
        self.bring_in()?;
        self.beat();
        self.acknowledge();
        let wait = self.wait(wait);
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let alarm = self.alarm.ring_after(wait);
        let polled = self.poll.poll(&mut events, alarm.map_err(|error| format!("the system has no timer: {error}"))?);
        if let Err(error) = polled
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(format!("the system cannot wait for sockets: {error}"));
        }
        for event in &events {
            if event.token() == ALARM {
                continue;
            }
            let device = event.token().0 as u32;
            if event.is_writable() {
                self.writable(device);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.readable(device, event.is_read_closed(), news);
            }
        }
        self.events = events;
        Ok(())
    }

    /// The longest wait that makes nothing late.
    fn wait(&self, wait: Duration) -> Duration {
        let now = Instant::now();
        let mut wait = wait;
        if let Some(Reverse((at, _))) = self.later.peek() {
            wait = wait.min(at.saturating_duration_since(now));
        }
        if let Some((at, _)) = self.acks.front() {
            wait = wait.min(at.saturating_duration_since(now));
        }
        if self.open > 0 {
            wait = wait.min(BEAT);
        }
        if !self.wanted.is_empty() && self.arriving < ARRIVING {
            wait = Duration::ZERO;
        }
        wait
    }
}

/// A change that wins over whatever is there.
pub fn change(key: &str, value: Value) -> Change {
    Change::new(Key::new(key).unwrap_or_else(|_| unreachable!("keys of stories are short")), Op::Put, value)
}

fn opcode(codec: Codec) -> u8 {
    match codec {
        Codec::MsgPack => wire::BINARY,
        Codec::Json => wire::TEXT,
    }
}
