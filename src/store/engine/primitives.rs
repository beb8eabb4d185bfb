//! The locks of the memtables and of the scans that read them.
//!
//! `tests/interleavings` compiles those files with its own version of this one, which hands control to another thread at every step, and so
//! tries the orders in which threads can meet.

pub(super) use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};
