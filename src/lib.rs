//! Driftless keeps each person's data the same on all of their devices.
//!
//! The path of one write:
//! 1. `http` upgrades the connection to a WebSocket.
//! 2. [`session`] authenticates the device, which makes it a principal, and reads the patch.
//! 3. [`sync`] offers what a principal may ask, and submits the patch.
//! 4. The [`committer`] decides the patch in a group, with the rows of the [`store`] and the pure rules of [`merge`], makes the group durable
//!    with one flush, publishes the change to the [`hub`] and replies.
//! 5. The identity's other sessions take the change from the hub, or from the store if they lag.
//!
//! The same transaction records the debt to every device that has not acknowledged the version; the courier in [`push`] wakes these devices.
//!
//! Requests of operators also arrive through `http` and are handled by [`admin`]; the commands that send them are in [`operator`]. The
//! commands for a user's own data are in [`client`].
//!
//! Imports point down this list only, and the last twelve modules import nothing of this crate; a test checks both. A module is public only if
//! the binary, a test, a benchmark or the load test uses it: the library's interface is not stable.

pub mod app;
pub mod config;
pub mod dev;
pub mod operator;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

pub(crate) mod http;
pub mod session;

pub mod admin;

pub mod sync;

pub mod identity;
pub mod pools;
pub mod push;
pub(crate) mod reaper;

pub mod objects;

pub mod users;

pub mod keyring;

pub mod access;

pub mod committer;

pub mod store;

pub mod client;

pub mod auth;
pub mod aws;
pub mod clock;
pub mod hub;
pub mod invocation;
pub mod limits;
pub mod logging;
pub mod mail;
pub mod merge;
pub mod metrics;
pub mod origin;
pub mod secret_file;
pub mod stop_times;
