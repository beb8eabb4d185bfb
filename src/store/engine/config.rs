//! Which engine stores the rows, and how much memory and disk space it may use.

use serde::Deserialize;

#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Which engine to use. A data folder can only be opened with the engine that created it.
    pub engine: EngineKind,
    /// The engine's page cache, in MiB of pages as they are on disk; in memory sled takes two to three times as much.
    pub cache_mib: u64,
    /// How much is committed to the journal, in MiB, before it is flushed to the engine's tree; 0: each commit is flushed at once. The
    /// memtable has the same limit. While the tree is slow, journal and memtable grow to four times as much, beside as much again that is
    /// being flushed.
    pub journal_mib: u64,
    /// Disk space that is kept free, in MiB: writes that would use it are refused.
    pub reserve_mib: u64,
    /// Where the server listens. The lock file names it, so that a second process can say who holds the folder; empty: not named.
    pub address: String,
}

impl EngineConfig {
    /// The defaults with a page cache of this size.
    pub const fn cached(cache_mib: u64) -> EngineConfig {
        // The reserve holds several of sled's segments (8 MiB) and of the committer's groups (16 MiB): reopening must be possible.
        EngineConfig { engine: EngineKind::Sled, cache_mib, journal_mib: 8, reserve_mib: 64, address: String::new() }
    }
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        EngineConfig::cached(256)
    }
}

/// An engine that stores its rows on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// A log-structured tree: starts fast.
    #[default]
    Sled,
    /// A copy-on-write tree: smaller, and faster under sustained heavy writes; opening it reads the whole file.
    Redb,
}

impl EngineKind {
    /// Its name in the configuration and in the data folder.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Sled => "sled",
            EngineKind::Redb => "redb",
        }
    }
}
