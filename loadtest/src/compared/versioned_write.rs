//! The script by which Redis does what Driftless does with a write: it compares the record's version with the one that the writer saw,
//! raises the dataset's version, stores the record, adds it to the changes that a device catches up with, and publishes it.
//!
//! It leaves out what Redis cannot do by itself, so Redis is a little ahead: patches that are sent again, debts of devices that sleep, limits.

/// KEYS: the dataset's version, its records, its changes, its channel. ARGV: the record's key, its value, the version that the writer saw,
/// the number of changes to keep. Returns the new version, or nothing on a conflict.
pub const SCRIPT: &str = "\
local stored = redis.call('HGET', KEYS[2], 'v:' .. ARGV[1])
if stored and tonumber(stored) > tonumber(ARGV[3]) then return false end
local version = redis.call('INCR', KEYS[1])
redis.call('HSET', KEYS[2], 'v:' .. ARGV[1], version, ARGV[1], ARGV[2])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], version .. '-1', 'key', ARGV[1], 'value', ARGV[2])
redis.call('PUBLISH', KEYS[4], version .. ' ' .. ARGV[1] .. ' ' .. ARGV[2])
return version";

/// Changes that are kept of each dataset: more than a device misses here.
const KEPT_CHANGES: &str = "20000";

/// The names of a person's keys.
#[derive(Clone, Debug)]
pub struct PersonKeys {
    pub version: String,
    pub records: String,
    pub changes: String,
    pub channel: String,
}

impl PersonKeys {
    pub fn new(person: &str) -> PersonKeys {
        let name = |what: &str| format!("{person}:{what}");
        PersonKeys { version: name("version"), records: name("records"), changes: name("changes"), channel: name("channel") }
    }

    /// Appends the command that writes a record. `script` is the script's digest, as the server named it.
    pub fn write(&self, script: &str, key: &str, value: &str, base: u64, out: &mut Vec<u8>) {
        let (base, names) = (base.to_string(), [&self.version, &self.records, &self.changes, &self.channel]);
        let mut arguments: Vec<&[u8]> = vec![b"EVALSHA", script.as_bytes(), b"4"];
        arguments.extend(names.map(|name| name.as_bytes()));
        arguments.extend([key, value, &base, KEPT_CHANGES].map(str::as_bytes));
        super::resp::command(&arguments, out);
    }

    /// Appends the commands that read all changes after a version, in pages, and subscribe to later ones. `newest` is the last version to read.
    pub fn catch_up(&self, after: u64, newest: u64, page: u64, out: &mut Vec<u8>) {
        let mut from = after;
        while from < newest {
            let to = (from + page).min(newest);
            let (first, last) = (format!("{}-1", from + 1), format!("{to}-1"));
            super::resp::command(&[b"XRANGE", self.changes.as_bytes(), first.as_bytes(), last.as_bytes()], out);
            from = to;
        }
        self.subscribe(out);
    }

    /// Appends the command that subscribes to all writes.
    pub fn subscribe(&self, out: &mut Vec<u8>) {
        super::resp::command(&[b"SUBSCRIBE", self.channel.as_bytes()], out);
    }
}
