//! What a load consists of, and the environment variables that choose a run.

pub const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
pub const DEVICES: [&str; 3] = ["phone", "laptop", "tablet"];
pub const DATASETS: [&str; 2] = ["settings", "notes"];

/// Patches that each device has in flight.
pub const PATCHES_IN_FLIGHT: u64 = 2;

/// Positions that a new device opens each dataset from when the load is at rest.
pub const POSITIONS: u64 = 3;

/// The engine that `TEST_ENGINE` names.
pub fn engine() -> Option<String> {
    std::env::var("TEST_ENGINE").ok()
}

/// The seed of this run: `TEST_SEED`, or a random one.
pub fn seed() -> u64 {
    number("TEST_SEED").unwrap_or_else(|| getrandom::u64().unwrap() % 1_000_000)
}

/// A number from the environment.
pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}
