//! Stands in for `src/store/engine/primitives.rs`: the same names, with shuttle's locks.

pub(super) use std::sync::{OnceLock, PoisonError};

pub(super) use shuttle::sync::{Arc, Condvar, Mutex, RwLock, RwLockReadGuard};
