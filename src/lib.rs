//! Driftless.

pub mod client;
