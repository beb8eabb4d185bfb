//! The gate, the readers and the parts of the hub, compiled a second time over atomics and locks that hand the thread to somebody else at every step.
//!
//! The files are the server's own, included as they are; only what they import from the module above them is different here. Tokio's
//! `watch` and the waker of a mailbox are taken as they are: one call of theirs is one step.

pub mod committer;
pub mod hub;
