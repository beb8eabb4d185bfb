//! What happens in a run: a list of actions, made from a seed alone. Any action makes sense after any others, so that a failing list
//! can be shortened by leaving actions out.

use driftless_protocol::{Key, Op, Value};

/// The persons, each with the devices of their own.
pub const PERSONS: [&str; 2] = ["alice", "bob"];

/// Whose each device is.
pub const DEVICES: [usize; 5] = [0, 0, 0, 1, 1];

/// The datasets of each person, named after what they do on a conflict.
pub const DATASETS: [&str; 2] = ["reject", "last-writer-wins"];

/// Numbers, a map, sets, and what is only put and removed.
const KEYS: [&str; 8] = ["n1", "n2", "map", "set1", "set2", "t1", "t2", "t3"];

/// What happens to a device's patches on their way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// They wait in the device.
    Later,
    /// They are sent and answered.
    Fine,
    /// They are sent and answered, but only so many answers arrive before the socket breaks.
    ReplyLost(usize),
    /// They have their numbers, but the socket breaks before they have left.
    RequestLost,
    /// The socket is dropped right after they were sent, and the device comes back at once.
    Cut,
}

/// One change of a patch; with a base, the device's replica says which.
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

/// Longer than it takes until the reaper looks at a dataset again, whatever is left of it: history is kept for a week.
pub const WEEK: u64 = 8;

/// Longer than a tombstone is kept, which is 30 days.
pub const MONTH: u64 = 31;

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Action {
    /// A device writes, now if it is online. After a conflict it takes the others' state, or insists.
    Write { device: usize, dataset: usize, edits: Vec<Edit>, insists: bool, fate: Fate },
    /// A device writes by plain HTTP, beside whatever socket it has.
    Http { device: usize, dataset: usize, edits: Vec<Edit>, insists: bool },
    /// A device comes online if it is not, and sends what it has; an eager one before it has heard what it missed.
    Connect { device: usize, eager: bool, fate: Fate },
    /// A device's socket breaks.
    Offline { device: usize },
    /// A device reads on, or lets its socket fill.
    Listen { device: usize, listens: bool },
    /// A device acknowledges from now on, or does not.
    Acks { device: usize, acks: bool },
    /// A device follows a dataset, or no more.
    Follow { device: usize, dataset: usize, follows: bool },
    /// The network delivers an old patch again, whatever became of it.
    Replay { device: usize, back: usize },
    /// A device loses all it has and starts again under its old id.
    Reinstall { device: usize },
    /// A device that nobody has seen before looks at everything.
    Fresh { person: usize },
    /// An app asks by HTTP what changed after some earlier version.
    Since { device: usize, dataset: usize, version: u64 },
    /// The server stops in good order and starts again; a device may have patches on their way.
    Restart { sends: Option<usize> },
    /// The server is started again so many days later: tombstones go.
    Later { days: u64 },
    /// The store is copied.
    Backup,
    /// The store is as it was copied, under a new epoch.
    Restore,
    /// Everybody comes online and must have the same.
    Converge,
}

/// Numbers that only look random (splitmix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A number below the given one.
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
    let mut dice = Dice::new(seed);
    let length = 40 + dice.below(80);
    let mut actions: Vec<Action> = (0..length).map(|_| action(&mut dice)).collect();
    actions.push(Action::Converge);
    actions
}

fn action(dice: &mut Dice) -> Action {
    let (device, dataset) = (dice.below(DEVICES.len()), dice.below(DATASETS.len()));
    match dice.below(100) {
        0..50 => Action::Write { device, dataset, edits: edits(dice), insists: dice.percent(60), fate: fate(dice) },
        50..55 => Action::Http { device, dataset, edits: edits(dice), insists: dice.percent(60) },
        55..68 => Action::Connect { device, eager: dice.percent(30), fate: fate(dice) },
        68..76 => Action::Offline { device },
        76..81 => Action::Listen { device, listens: dice.percent(50) },
        81..83 => Action::Acks { device, acks: dice.percent(50) },
        83..87 => Action::Follow { device, dataset, follows: dice.percent(60) },
        87..90 => Action::Replay { device, back: dice.below(80) },
        90 => Action::Reinstall { device },
        91 => Action::Fresh { person: dice.below(PERSONS.len()) },
        92 | 93 => Action::Since { device, dataset, version: dice.below(60) as u64 },
        94 | 95 => Action::Restart { sends: dice.percent(50).then_some(device) },
        96 => Action::Later { days: dice.pick(&[WEEK, MONTH]) },
        97 => Action::Backup,
        98 => Action::Restore,
        _ => Action::Converge,
    }
}

fn fate(dice: &mut Dice) -> Fate {
    match dice.below(100) {
        0..15 => Fate::Later,
        15..75 => Fate::Fine,
        75..88 => Fate::ReplyLost(dice.below(4)),
        88..94 => Fate::RequestLost,
        _ => Fate::Cut,
    }
}

fn edits(dice: &mut Dice) -> Vec<Edit> {
    (0..1 + dice.below(4)).map(|_| edit(dice)).collect()
}

fn edit(dice: &mut Dice) -> Edit {
    let at = dice.below(KEYS.len());
    // Now and then an operation meets a record of another kind.
    let kind = if dice.percent(4) { dice.below(KEYS.len()) } else { at };
    let ops: &[Op] = match kind {
        0 | 1 => &[Op::Put, Op::Add, Op::Add, Op::Remove],
        2 => &[Op::Put, Op::Merge, Op::Merge, Op::Remove],
        3 | 4 => &[Op::Put, Op::Insert, Op::Insert, Op::Discard, Op::Remove],
        _ => &[Op::Put, Op::Put, Op::Remove],
    };
    let op = dice.pick(ops);
    let value = match kind {
        0 | 1 => dice.pick(&["1", "2", "-1", "0.5", "1.0"]).to_owned(),
        2 => dice.pick(&[r#"{"a":1}"#, r#"{"a":{"b":2}}"#, r#"{"a":null}"#, r#"{"a":{"b":null,"c":3}}"#, "7", "null"]).to_owned(),
        3 | 4 => dice.pick(&["[1]", "[1,2]", "[2,3,2]", "[]", r#"["x",1.0]"#]).to_owned(),
        _ if dice.percent(8) => format!("\"{}\"", dice.pick(&["x", "y"]).repeat(1000 * dice.pick(&[1, 30, 70]))),
        _ => dice.pick(&["\"a\"", "\"b\"", "null", "true"]).to_owned(),
    };
    let value = (op != Op::Remove).then(|| serde_json::from_str(&value).unwrap());
    let based = matches!(op, Op::Put | Op::Remove) && dice.percent(65);
    Edit { key: Key::new(KEYS[at]).unwrap(), op, value, based }
}
