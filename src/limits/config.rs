//! The settings of limits, with the reasons of their defaults.

use ipnet::IpNet;

/// The limits of one address. 0: no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressLimits {
    /// Networks that have no limits.
    pub exempt: Vec<IpNet>,
    /// Connections that are open at once.
    pub connections: u32,
    /// Handshakes of sessions, and HTTP requests with a token, in a second on average.
    pub handshakes_per_s: u32,
    /// Tokens that are refused, in a minute on average.
    pub refused_tokens_per_min: u32,
    /// Bytes that are received, in a second on average.
    pub bytes_per_s: u64,
}

/// The limits of one pool. 0: no limit, which is the default of those of all devices: a server does not know how large an app is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolRates {
    /// Sessions that are open at once.
    pub sessions: u32,
    /// Handshakes of sessions, and HTTP requests, in a second on average.
    pub handshakes_per_s: u32,
    /// Tokens that were refused in a minute, before clients that had one refused wait.
    pub refused_tokens_per_min: u32,
    /// Bytes that are received, in a second on average.
    pub bytes_per_s: u64,
    /// Bytes that one identity sends and is sent, in a second on average.
    pub identity_work_bytes_per_s: u64,
}

impl Default for PoolRates {
    /// A person whose devices all fetch their largest dataset anew (ten of 16 MiB) has them within five seconds.
    fn default() -> PoolRates {
        let identity_work_bytes_per_s = 32 * 1024 * 1024;
        PoolRates { sessions: 0, handshakes_per_s: 0, refused_tokens_per_min: 0, bytes_per_s: 0, identity_work_bytes_per_s }
    }
}

/// A budget of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryUse {
    /// Messages and bodies that arrive, and what is decoded of them.
    Received,
    /// Answers, from the moment they are read until their peer has taken them.
    Answers,
}

/// The memory that messages on their way may take, in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Messages and bodies of one identity, with what is decoded of them.
    pub identity_received_mib: u32,
    /// Answers to one identity that its devices have not read yet.
    pub identity_answers_mib: u32,
    /// The same for all identities together.
    pub received_mib: u32,
    /// The same for all identities together.
    pub answers_mib: u32,
}

impl Default for MemoryLimits {
    /// Four of the largest messages and sixteen of the largest answers of one person at a time; the others wait for some milliseconds, or as
    /// long as their own devices are slow. Sixteen such people at once before others wait for them.
    fn default() -> MemoryLimits {
        MemoryLimits { identity_received_mib: 16, identity_answers_mib: 32, received_mib: 256, answers_mib: 512 }
    }
}

impl MemoryLimits {
    pub(super) fn identity_bytes(&self, what: MemoryUse) -> usize {
        let mib = match what {
            MemoryUse::Received => self.identity_received_mib,
            MemoryUse::Answers => self.identity_answers_mib,
        };
        mib as usize * 1024 * 1024
    }

    pub(super) fn all_bytes(&self, what: MemoryUse) -> usize {
        let mib = match what {
            MemoryUse::Received => self.received_mib,
            MemoryUse::Answers => self.answers_mib,
        };
        mib as usize * 1024 * 1024
    }
}

impl Default for AddressLimits {
    /// An office or a mobile network with a few thousand devices behind one address meets none of them, also when all devices reconnect within
    /// ten seconds; a single machine that is turned against the server does.
    fn default() -> AddressLimits {
        AddressLimits {
            exempt: ["127.0.0.0/8", "::1/128"].iter().filter_map(|network| network.parse().ok()).collect(),
            connections: 4096,
            handshakes_per_s: 200,
            refused_tokens_per_min: 600,
            bytes_per_s: 16 * 1024 * 1024,
        }
    }
}

impl AddressLimits {
    /// Whether nothing of this address is limited.
    pub fn is_exempt(&self, address: std::net::IpAddr) -> bool {
        self.exempt.iter().any(|network| network.contains(&address))
    }
}
