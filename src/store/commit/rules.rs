//! The rules that a pool sets for a dataset.

use driftless_protocol::Limits;

use super::super::RetentionPolicy;
use crate::merge::ConflictPolicy;

#[derive(Clone, Copy, Debug, Default)]
pub struct DatasetRules {
    pub limits: Limits,
    /// What happens on a conflict.
    pub policy: ConflictPolicy,
    pub retention: RetentionPolicy,
}
