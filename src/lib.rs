//! Driftless.
pub mod auth;
