//! Driftless.
pub mod clock;
pub mod committer;
pub mod hub;
pub mod identity;
pub mod merge;
pub mod metrics;
pub mod store;
pub mod sync;
