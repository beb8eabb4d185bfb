//! A run's list of actions, made from a seed alone. Each action is possible after any others, so that a failing list can be shortened by
//! leaving actions out. The seeds of `seeds.txt` rely on the order and the number of the random draws here.

use driftless_protocol::{Key, Op, Value};

/// The persons, each of whom has an identity.
pub const PERSONS: [&str; 2] = ["alice", "bob"];

/// The person of each device.
pub const DEVICES: [usize; 5] = [0, 0, 0, 1, 1];

/// The datasets of each person, named after their conflict policy.
pub const DATASETS: [&str; 2] = ["reject", "last-writer-wins"];

/// Two numbers, a map, two sets, and three records that are only put and removed.
const KEYS: [&str; 8] = ["n1", "n2", "map", "set1", "set2", "t1", "t2", "t3"];

/// How a device's patches and their answers travel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delivery {
    /// The patches stay in the device's outbox.
    Queued,
    /// The patches are sent, and the answers arrive.
    Answered,
    /// The patches are sent and answered, but only this many answers arrive before the socket breaks.
    ReplyLost(usize),
    /// The patches have their numbers, but the socket breaks before they are sent.
    RequestLost,
    /// The device drops its socket right after it sent the patches, and reconnects at once.
    SocketDropped,
}

/// One change of a patch. A based change takes its base from the device's replica.
#[derive(Clone)]
pub struct Edit {
    pub key: Key,
    pub op: Op,
    pub value: Option<Value>,
    pub based: bool,
}

impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.value.as_ref().map(ToString::to_string).unwrap_or_default();
        write!(f, "{:?} {} {value}{}", self.op, self.key, if self.based { " based" } else { "" })
    }
}

/// Days after which the reaper visits every dataset again: history is kept for 7 days.
pub const WEEK: u64 = 8;

/// Days after which every tombstone has expired: tombstones are kept for 30 days.
pub const MONTH: u64 = 31;

/// One step of a run.
#[derive(Clone, Debug)]
pub enum Action {
    /// A device writes, at once if it is online. After a conflict it takes the server's state, or writes again on top of it.
    Write { device: usize, dataset: usize, edits: Vec<Edit>, writes_again: bool, delivery: Delivery },
    /// A device writes over HTTP, also while it has a socket.
    HttpWrite { device: usize, dataset: usize, edits: Vec<Edit>, writes_again: bool },
    /// A device connects unless it is online, and sends its patches: before or after it has received the changes that it missed.
    Connect { device: usize, sends_first: bool, delivery: Delivery },
    /// A device's socket breaks.
    Offline { device: usize },
    /// A device reads from its socket from now on, or lets it fill.
    Read { device: usize, reads: bool },
    /// A device acknowledges from now on, or stops.
    Acks { device: usize, acks: bool },
    /// A device opens a dataset, or closes it.
    Subscribe { device: usize, dataset: usize, subscribed: bool },
    /// An old patch is sent again; it may have been applied or refused.
    Replay { device: usize, back: usize },
    /// A device loses its state and connects again under its old id.
    Reinstall { device: usize },
    /// A new device opens every dataset.
    NewDevice { person: usize },
    /// A device asks over HTTP for the changes after an earlier version.
    HttpChanges { device: usize, dataset: usize, version: u64 },
    /// The server shuts down and starts again; one device may have patches in flight.
    Restart { sends: Option<usize> },
    /// The server starts again this many days later, and reaps tombstones.
    AdvanceDays { days: u64 },
    /// The server makes a backup.
    Backup,
    /// The last backup is restored under a new epoch.
    Restore,
    /// All devices connect and must end with the same records.
    Converge,
}

/// The generator SplitMix64 (Steele, Lea and Flood, 2014).
pub struct ScriptRandom(u64);

impl ScriptRandom {
    pub fn new(seed: u64) -> ScriptRandom {
        ScriptRandom(seed)
    }

    /// A number from 0 to `end` - 1.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// The actions of a seed.
pub fn script(seed: u64) -> Vec<Action> {
    let mut random = ScriptRandom::new(seed);
    let length = 40 + random.below(80);
    let mut actions: Vec<Action> = (0..length).map(|_| action(&mut random)).collect();
    actions.push(Action::Converge);
    actions
}

fn action(random: &mut ScriptRandom) -> Action {
    let (device, dataset) = (random.below(DEVICES.len()), random.below(DATASETS.len()));
    match random.below(100) {
        0..50 => Action::Write { device, dataset, edits: edits(random), writes_again: random.percent(60), delivery: delivery(random) },
        50..55 => Action::HttpWrite { device, dataset, edits: edits(random), writes_again: random.percent(60) },
        55..68 => Action::Connect { device, sends_first: random.percent(30), delivery: delivery(random) },
        68..76 => Action::Offline { device },
        76..81 => Action::Read { device, reads: random.percent(50) },
        81..83 => Action::Acks { device, acks: random.percent(50) },
        83..87 => Action::Subscribe { device, dataset, subscribed: random.percent(60) },
        87..90 => Action::Replay { device, back: random.below(80) },
        90 => Action::Reinstall { device },
        91 => Action::NewDevice { person: random.below(PERSONS.len()) },
        92 | 93 => Action::HttpChanges { device, dataset, version: random.below(60) as u64 },
        94 | 95 => Action::Restart { sends: random.percent(50).then_some(device) },
        96 => Action::AdvanceDays { days: random.pick(&[WEEK, MONTH]) },
        97 => Action::Backup,
        98 => Action::Restore,
        _ => Action::Converge,
    }
}

fn delivery(random: &mut ScriptRandom) -> Delivery {
    match random.below(100) {
        0..15 => Delivery::Queued,
        15..75 => Delivery::Answered,
        75..88 => Delivery::ReplyLost(random.below(4)),
        88..94 => Delivery::RequestLost,
        _ => Delivery::SocketDropped,
    }
}

fn edits(random: &mut ScriptRandom) -> Vec<Edit> {
    (0..1 + random.below(4)).map(|_| edit(random)).collect()
}

fn edit(random: &mut ScriptRandom) -> Edit {
    let at = random.below(KEYS.len());
    // Sometimes an operation is applied to a record of another kind.
    let kind = if random.percent(4) { random.below(KEYS.len()) } else { at };
    let ops: &[Op] = match kind {
        0 | 1 => &[Op::Put, Op::Add, Op::Add, Op::Remove],
        2 => &[Op::Put, Op::Merge, Op::Merge, Op::Remove],
        3 | 4 => &[Op::Put, Op::Insert, Op::Insert, Op::Discard, Op::Remove],
        _ => &[Op::Put, Op::Put, Op::Remove],
    };
    let op = random.pick(ops);
    let value = match kind {
        0 | 1 => random.pick(&["1", "2", "-1", "0.5", "1.0"]).to_owned(),
        2 => random.pick(&[r#"{"a":1}"#, r#"{"a":{"b":2}}"#, r#"{"a":null}"#, r#"{"a":{"b":null,"c":3}}"#, "7", "null"]).to_owned(),
        3 | 4 => random.pick(&["[1]", "[1,2]", "[2,3,2]", "[]", r#"["x",1.0]"#]).to_owned(),
        _ if random.percent(8) => format!("\"{}\"", random.pick(&["x", "y"]).repeat(1000 * random.pick(&[1, 30, 70]))),
        _ => random.pick(&["\"a\"", "\"b\"", "null", "true"]).to_owned(),
    };
    let value = (op != Op::Remove).then(|| serde_json::from_str(&value).unwrap());
    let based = matches!(op, Op::Put | Op::Remove) && random.percent(65);
    Edit { key: Key::new(KEYS[at]).unwrap(), op, value, based }
}
