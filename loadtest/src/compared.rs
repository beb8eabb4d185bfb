//! Two servers that do the same work for the same loop: Driftless, and Redis with a script that checks versions.
//!
//! Both are driven by one thread and one poll, decode what they receive into values of their own, and send one write as one message.

mod driftless_fleet;
mod redis_fleet;
mod redis_process;
mod resp;
mod versioned_write;

use std::time::{Duration, Instant};

use driftless_protocol::Value;

pub use driftless_fleet::DriftlessFleet;
pub use redis_fleet::RedisFleet;
pub use redis_process::RedisProcess;

/// What happened to a device.
#[derive(Clone, Copy, Debug)]
pub struct ComparedEvent {
    pub device: u32,
    pub at: Instant,
    pub kind: ComparedEventKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComparedEventKind {
    /// A write of this device is durable.
    Written,
    /// The device received another device's write.
    Seen,
    /// The device, which had missed writes, has them all, and receives later ones.
    CaughtUp,
}

/// Devices of a server. The first device of each person writes, and the others receive what it writes.
pub trait ComparedFleet {
    /// Writes a record, on the version that the device last saw.
    fn write(&mut self, device: u32, key: &str, value: &Value);

    /// The version that the device has.
    fn version(&self, device: u32) -> u64;

    /// Ends a device's connection.
    fn disconnect(&mut self, device: u32);

    /// Connects a device that missed everything after this version.
    fn reconnect_at(&mut self, device: u32, version: u64) -> Result<(), String>;

    /// Polls the sockets once, for `wait` at most, and appends what happened.
    fn poll(&mut self, wait: Duration, events: &mut Vec<ComparedEvent>) -> Result<(), String>;
}
