//! How many connections are open, of those that the server has files for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Of how many quarters of the connections all but one may be open before they are short.
const QUARTERS: u64 = 4;

/// Clones share the count.
#[derive(Clone, Debug)]
pub struct ConnectionCapacity(Arc<CapacityCount>);

#[derive(Debug)]
struct CapacityCount {
    open: AtomicU32,
    connections: u32,
}

impl ConnectionCapacity {
    pub fn new(connections: u32) -> ConnectionCapacity {
        ConnectionCapacity(Arc::new(CapacityCount { open: AtomicU32::new(0), connections }))
    }

    pub fn opened(&self) {
        self.0.open.fetch_add(1, Ordering::Relaxed);
    }

    pub fn closed(&self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether three quarters are open: then a client that says nothing has less time.
    pub fn is_short(&self) -> bool {
        u64::from(self.0.open.load(Ordering::Relaxed)) * QUARTERS >= u64::from(self.0.connections) * (QUARTERS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_short_when_three_quarters_are_open() {
        let capacity = ConnectionCapacity::new(8);
        let short: Vec<bool> = (0..8).map(|_| (capacity.opened(), capacity.is_short()).1).collect();
        assert_eq!(short, [false, false, false, false, false, true, true, true]);
        (0..3).for_each(|_| capacity.closed());
        assert!(!capacity.is_short());
    }
}
