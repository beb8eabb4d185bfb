//! The reader pool, parts of the hub and the memtables, compiled a second time over atomics and locks that hand control to another thread at every
//! step.
//!
//! The files are the server's own, included unchanged; only the `primitives` that they import differ here. The waker of a session's signals is the real
//! one: each of its calls is a single step.

pub mod committer;
pub mod hub;
pub mod store;
