//! What decides how long the transfers of connections may take: time in which the process runs, and the places of slow ones.

use crate::clock::RunningClock;
use crate::session::SlowTransfers;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Transfers {
    pub clock: RunningClock,
    /// Shared with the sessions.
    pub slow: SlowTransfers,
}
