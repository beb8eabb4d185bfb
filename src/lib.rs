//! Driftless keeps each person's data the same on all their devices.
//!
//! The path of one write: [`http`] upgrades a socket, [`session`] makes it a principal's and reads the patch, [`sync`] says what a principal
//! may ask, the [`committer`] decides it in a group ([`store`], with the pure rules of [`merge`]), makes the group durable once,
//! publishes to the [`hub`] and replies; the identity's other sessions take the change from there.
//!
//! What an operator asks comes in through [`http`] too, and is done in [`admin`]; the commands that ask it are in [`operator`].
//!
//! Arrows point down this list only, and the last five import nothing of ours but the protocol; a test holds them to it.

pub mod app;
pub mod config;
pub mod dev;
pub mod operator;

pub mod http;
pub mod session;

pub mod admin;

pub mod sync;

pub mod identity;
pub mod reaper;

pub mod push;

pub mod committer;

pub mod store;

pub mod client;

pub mod auth;
pub mod clock;
pub mod hub;
pub mod merge;
pub mod metrics;
