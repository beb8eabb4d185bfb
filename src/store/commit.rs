//! Writes: the committer decides them in a [`Group`], one after the other, and commits the group as one atomic batch.
//!
//! A patch is decided by [`Group::write`]: a retry gets its first answer, anything else goes through `crate::merge`. The outcome of each patch
//! stands in a slot of its device, in the same batch, so that a patch is applied once however often it is sent.

mod conflict_log;
mod group;
mod patch;
mod retry;
mod rules;
mod write;

pub(super) use conflict_log::{CONFLICT_LOG, conflict_row};
pub use group::{Group, JobFailure};
pub use patch::{Decision, Patch};
#[cfg(test)]
pub(in crate::store) use rules::{DEVICE_BYTES, REVOKED_DEVICE_BYTES};
pub use rules::{DatasetRules, IDENTITY_BYTES, device_bytes};

#[cfg(test)]
mod tests;
