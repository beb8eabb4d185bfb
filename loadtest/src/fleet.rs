//! Simulated devices: one thread, one poll, some bytes for each. What happens to them is told as [`News`]; what they do about it is the
//! story's.
//!
//! A device connects, says hello, opens its dataset from the position that it has, says something once a heartbeat, and acknowledges
//! what it was sent within a second. When its socket ends it comes back as the protocol asks: when the server said, or with back-off.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use driftless_protocol::{Change, ClientMessage, Codec, DatasetName, DeviceId, Epoch, Key, Op, Position, ServerMessage, Value};
use mio::{Events, Interest, Poll, Token};

use crate::alarm::Alarm;
use crate::chance::Chance;
use crate::link::{Flow, Link, READ_BYTES};
use crate::wire::{self, Frame};

/// Ports that one address of this machine offers: they are named here, because the system takes long to find a free one among many.
const PORTS: std::ops::Range<u16> = 10_000..60_000;

/// Devices that may be on their way in at once: less than what a listener's queue holds.
const ARRIVING: usize = 512;

/// Pings are spread over so many parts of a second.
const BEATS_PER_S: u64 = 100;

/// How long a device holds an acknowledgement back for company.
const ACK_AFTER: Duration = Duration::from_secs(1);

/// The first and the longest back-off of a device whose socket ended; in between it doubles. As the client library does it.
const BACKOFF_MS: (u64, u64) = (500, 30_000);

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
    told: Vec<Told>,
    epoch: Option<Epoch>,
    wanted: VecDeque<u32>,
    arriving: usize,
    later: BinaryHeap<Reverse<(Instant, u32)>>,
    acks: VecDeque<(Instant, u32)>,
    chance: Chance,
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
    /// Messages that were changes.
    pub deliveries: u64,
}

/// What was read from a link before it is acted on.
enum Told {
    Upgraded,
    Message(ServerMessage),
    Close(Option<u16>),
    Broken(&'static str),
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
            chance: Chance::new(plan.seed),
            began: Instant::now(),
            heartbeat_s: 0,
            beats: 0,
            connects: 0,
            quarter: QUARTERS.fetch_add(1, Ordering::Relaxed) % 250 + 1,
            open: 0,
            pings: 0,
            pongs: 0,
            bytes: 0,
            deliveries: 0,
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
            self.readable(device, news);
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
        self.devices[device as usize].patch += 1;
        let id = self.devices[device as usize].patch;
        let dataset = self.plan.dataset.clone();
        self.say(device, &ClientMessage::Write { id, dataset, changes, offer: false });
        id
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
                self.readable(device, news);
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
            wait = wait.min(Duration::from_millis(1000 / BEATS_PER_S));
        }
        if !self.wanted.is_empty() && self.arriving < ARRIVING {
            wait = Duration::ZERO;
        }
        wait
    }

    fn come_back(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, device))) = self.later.peek().copied()
            && at <= now
        {
            self.later.pop();
            self.wanted.push_back(device);
        }
    }

    fn bring_in(&mut self) -> Result<(), String> {
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
    fn next_address(&mut self) -> SocketAddrV4 {
        let ports = u64::from(PORTS.end - PORTS.start);
        let (round, port) = (self.connects / ports, self.connects % ports);
        self.connects += 1;
        let address = Ipv4Addr::new(127, 1 + (round / 250 % 250) as u8, (round % 250) as u8, self.quarter);
        SocketAddrV4::new(address, PORTS.start + port as u16)
    }

    /// Every device says something once a heartbeat, each at its own moment of it.
    fn beat(&mut self) {
        if self.heartbeat_s == 0 {
            return;
        }
        let due = self.began.elapsed().as_millis() as u64 * BEATS_PER_S / 1000;
        // Somewhat early: a heartbeat that comes late counts as missed.
        let round = (self.heartbeat_s * BEATS_PER_S * 9 / 10).max(1);
        // Whoever was held up for more than a round catches up with one.
        self.beats = self.beats.max(due.saturating_sub(round));
        while self.beats < due {
            self.beats += 1;
            let mut device = self.beats % round;
            while let Some(known) = self.devices.get_mut(device as usize) {
                if matches!(known.stage, Stage::Open | Stage::Stuck)
                    && let Some(link) = &mut known.link
                {
                    let _ = link.send(&self.ping);
                    self.pings += u64::from(known.stage == Stage::Open);
                }
                device += round;
            }
        }
    }

    fn acknowledge(&mut self) {
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

    fn writable(&mut self, device: u32) {
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

    fn readable(&mut self, device: u32, news: &mut Vec<News>) {
        let known = &mut self.devices[device as usize];
        if known.stage == Stage::Stuck {
            return;
        }
        let Some(link) = &mut known.link else { return };
        let (codec, stage, told, bytes) = (self.plan.codec, known.stage, &mut self.told, &mut self.bytes);
        let mut upgraded = !matches!(stage, Stage::Connecting | Stage::Upgrading);
        let flow = link.read(&mut self.buffer, |came| {
            let mut taken = 0;
            if !upgraded {
                match wire::accepted(came) {
                    Ok(Some(length)) => {
                        upgraded = true;
                        told.push(Told::Upgraded);
                        taken = length;
                    }
                    Ok(None) => return 0,
                    Err(_) => {
                        told.push(Told::Broken("the server does not open a socket"));
                        return came.len();
                    }
                }
            }
            loop {
                match wire::parse(&came[taken..]) {
                    Ok(Some((frame, length))) => {
                        match frame {
                            Frame::Message(payload) => match codec.decode_server(payload) {
                                Ok(message) => told.push(Told::Message(message)),
                                Err(_) => told.push(Told::Broken("a message that is none")),
                            },
                            Frame::Close(code) => told.push(Told::Close(code)),
                            Frame::Other => {}
                        }
                        taken += length;
                        *bytes += length as u64;
                    }
                    Ok(None) => return taken,
                    Err(_) => {
                        told.push(Told::Broken("bytes that are no frame"));
                        return came.len();
                    }
                }
            }
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

    fn greet(&mut self, device: u32) {
        self.devices[device as usize].stage = Stage::Greeting;
        let (person, number) = (self.person(device), device % self.plan.devices_per_person);
        let token = (self.plan.mint)(person);
        let Ok(name) = DeviceId::new(&format!("device-{number}")) else { return };
        self.say(device, &ClientMessage::Hello { token, device: name, client: "driftless-loadtest".to_owned() });
    }

    fn heard(&mut self, device: u32, message: ServerMessage, at: Instant, news: &mut Vec<News>) {
        let known = &mut self.devices[device as usize];
        match (message, known.stage) {
            (ServerMessage::Welcome { patch, heartbeat_s, .. }, Stage::Greeting) => {
                known.stage = Stage::Opening;
                known.patch = patch;
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
                    self.deliveries += 1;
                    self.owe(device, at);
                }
                news.push(News { device, at, what: What::Says(message) });
            }
        }
    }

    /// A device has something to acknowledge.
    fn owe(&mut self, device: u32, at: Instant) {
        let known = &mut self.devices[device as usize];
        if self.plan.acknowledges && !known.acks {
            known.acks = true;
            self.acks.push_back((at + ACK_AFTER, device));
        }
    }

    /// A socket is gone. The device comes back when it was told to, or after a back-off.
    fn ended(&mut self, device: u32, code: Option<u16>, told_ms: Option<u64>, at: Instant, news: &mut Vec<News>) {
        if self.devices[device as usize].link.is_none() {
            return;
        }
        self.drop_link(device);
        if self.plan.returns {
            let known = &mut self.devices[device as usize];
            let most_ms = (BACKOFF_MS.0 << known.tries.min(10)).min(BACKOFF_MS.1);
            known.tries = known.tries.saturating_add(1);
            let ms = told_ms.unwrap_or_else(|| most_ms / 2 + self.chance.below(most_ms / 2 + 1));
            self.later.push(Reverse((at + Duration::from_millis(ms), device)));
        }
        news.push(News { device, at, what: What::Ended { code } });
    }

    fn drop_link(&mut self, device: u32) {
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
