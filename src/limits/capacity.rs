//! How many connections are open, of those that the server has files for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Of how many quarters of the connections all but one may be open before they are short.
const QUARTERS: u64 = 4;

/// Of how many tenths of the connections all but one may be open before hardly any is free.
const TENTHS: u64 = 10;

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

    /// Counts one more until it is dropped.
    pub fn open(&self) -> ConnectionPlace {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        ConnectionPlace(Arc::clone(&self.0))
    }

    /// Whether three quarters are open: then a client that says nothing has less time.
    pub fn is_short(&self) -> bool {
        self.is_all_but_one_of(QUARTERS)
    }

    /// Whether less than a tenth is free.
    pub fn is_crowded(&self) -> bool {
        self.is_all_but_one_of(TENTHS)
    }

    fn is_all_but_one_of(&self, parts: u64) -> bool {
        u64::from(self.0.open.load(Ordering::Relaxed)) * parts >= u64::from(self.0.connections) * (parts - 1)
    }
}

/// A connection that counts as open until it is dropped.
#[derive(Debug)]
pub struct ConnectionPlace(Arc<CapacityCount>);

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_short_when_three_quarters_are_open() {
        let capacity = ConnectionCapacity::new(20);
        let mut open = Vec::new();
        let mut first = |is: fn(&ConnectionCapacity) -> bool| {
            while !is(&capacity) {
                open.push(capacity.open());
            }
            open.len()
        };
        assert_eq!((first(ConnectionCapacity::is_short), first(ConnectionCapacity::is_crowded)), (15, 18));
        open.truncate(14);
        assert!(!capacity.is_short() && !capacity.is_crowded());
    }
}
