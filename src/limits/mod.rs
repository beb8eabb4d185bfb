//! How much one client address, one pool and one identity may ask of a server: connections, handshakes, refused tokens, bytes and memory.
//!
//! - The time is an argument, in milliseconds that never go back. Nothing here logs or counts for operators, and only memory is waited for.
//! - An address of IPv4 is one client; of IPv6 a client has 2^64 of them, so its /64 is one, and its /48 has the share of [`NETWORK_SHARE`] such.
//! - Memory is bounded: the table keeps [`TABLE_ADDRESSES`] addresses, and beside them those of open connections and requests.
//! - A rate is one number that threads compare and exchange; a session looks at it once in [`CHARGE_BYTES`] bytes.

mod address;
mod capacity;
mod config;
mod identity_work;
mod memory;
mod network;
mod pool;
mod rate;
mod table;

pub use address::{AddressConnection, ClientAddress};
pub use capacity::{ConnectionCapacity, ConnectionPlace};
pub use config::{AddressLimits, MemoryLimits, MemoryUse, PoolRates};
pub use memory::{HeldMemory, MemoryBudgets};
pub use network::{NETWORK_SHARE, NetworkKey};
pub use pool::{CountedSession, PoolUse};
pub use rate::Postponed;
pub use table::{ClientAddresses, TABLE_ADDRESSES};

/// How many bytes a session receives before it charges them to its address and its pool. A heartbeat has some dozen.
pub const CHARGE_BYTES: u64 = 16 * 1024;

/// What a message or a request costs of an identity's work beside its bytes.
pub const MESSAGE_WORK_BYTES: usize = 1024;

/// What is over its limit. The name stands in metrics and in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitedUse {
    AddressConnections,
    AddressHandshakes,
    AddressRefusedTokens,
    AddressBytes,
    PoolSessions,
    PoolHandshakes,
    PoolRefusedTokens,
    PoolBytes,
    IdentityMemory,
    IdentityWork,
}

impl LimitedUse {
    /// A stable name for metrics and logs.
    pub fn code(self) -> &'static str {
        match self {
            LimitedUse::AddressConnections => "address_connections",
            LimitedUse::AddressHandshakes => "address_handshakes",
            LimitedUse::AddressRefusedTokens => "address_refused_tokens",
            LimitedUse::AddressBytes => "address_bytes",
            LimitedUse::PoolSessions => "pool_sessions",
            LimitedUse::PoolHandshakes => "pool_handshakes",
            LimitedUse::PoolRefusedTokens => "pool_refused_tokens",
            LimitedUse::PoolBytes => "pool_bytes",
            LimitedUse::IdentityMemory => "identity_memory",
            LimitedUse::IdentityWork => "identity_work",
        }
    }

    /// What there is too much of, for the client's developer.
    pub fn explanation(self) -> &'static str {
        match self {
            LimitedUse::AddressConnections => "too many connections of this address are open",
            LimitedUse::AddressHandshakes => "too many handshakes and requests of this address",
            LimitedUse::AddressRefusedTokens => "too many refused tokens of this address",
            LimitedUse::AddressBytes => "too many bytes from this address",
            LimitedUse::PoolSessions => "too many sessions of this pool are open",
            LimitedUse::PoolHandshakes => "too many handshakes and requests of this pool",
            LimitedUse::PoolRefusedTokens => "too many refused tokens of this pool, and one of them of this address",
            LimitedUse::PoolBytes => "too many bytes for this pool",
            LimitedUse::IdentityWork => "too much work for this identity",
            LimitedUse::IdentityMemory => "too many requests and unread answers of this identity are under way",
        }
    }
}

/// A use that a limit does not permit now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitExceeded {
    pub what: LimitedUse,
    /// When it is permitted again, in milliseconds from now; at least a second, so that a client that waits comes back with a chance.
    pub retry_after_ms: u64,
}

/// The shortest pause that a refusal asks for, in milliseconds.
const SHORTEST_RETRY_MS: u64 = 1_000;

/// The pause that a refusal asks for where time alone frees nothing, in milliseconds: another connection or session has to end first.
const OPEN_RETRY_MS: u64 = 10_000;

impl LimitExceeded {
    fn after(what: LimitedUse, Postponed { wait_ms }: Postponed) -> LimitExceeded {
        LimitExceeded { what, retry_after_ms: wait_ms.max(SHORTEST_RETRY_MS) }
    }

    /// For a use that ends when others of the same kind do.
    pub fn while_open(what: LimitedUse) -> LimitExceeded {
        LimitExceeded { what, retry_after_ms: OPEN_RETRY_MS }
    }
}
