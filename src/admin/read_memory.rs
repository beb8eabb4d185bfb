//! The memory for what operators read of whole datasets: the versions of one, or the differences between two. Many of these at once wait for
//! each other.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that all such reads together may hold, from before they read until their answers are sent: a comparison of two versions of a dataset of
/// the largest size by default, with a history of as many bytes. A dataset that a pool lets grow beyond that is read alone.
const READ_BYTES: usize = 64 * 1024 * 1024;

/// What memory is counted in, in bytes.
const UNIT_BYTES: usize = 1024;

/// Clones share it.
#[derive(Clone)]
pub(super) struct ReadBudget(Arc<Semaphore>);

/// Memory that counts until it is dropped.
#[derive(Debug)]
pub struct ReadMemory(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

impl Default for ReadBudget {
    fn default() -> ReadBudget {
        ReadBudget(Arc::new(Semaphore::new(READ_BYTES / UNIT_BYTES)))
    }
}

impl ReadBudget {
    /// Waits for memory. More than there is at all is all of it.
    pub(super) async fn take(&self, bytes: u64) -> ReadMemory {
        let units = bytes.min(READ_BYTES as u64).div_ceil(UNIT_BYTES as u64);
        match Arc::clone(&self.0).acquire_many_owned(u32::try_from(units).unwrap_or(u32::MAX)).await {
            Ok(permits) => ReadMemory(permits),
            // It is never closed.
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn many_reads_at_once_hold_no_more_than_the_budget() {
        let budget = ReadBudget::default();
        let large = 20 * 1024 * 1024;
        let mut reads: Vec<_> = (0..64).map(|_| Box::pin(budget.take(large))).collect();
        let mut begun = Vec::new();
        while !reads.is_empty() {
            let before = begun.len();
            reads.retain_mut(|read| match read.as_mut().now_or_never() {
                Some(memory) => {
                    begun.push(memory);
                    false
                }
                None => true,
            });
            assert!(begun.len() as u64 * large <= READ_BYTES as u64, "{} at once", begun.len());
            assert!(begun.len() > before || begun.len() == 3, "as many as fit");
            begun.remove(0);
        }
        drop(begun);
        assert_eq!(budget.0.available_permits(), READ_BYTES / UNIT_BYTES);
        let all = budget.take(u64::MAX).now_or_never();
        assert!(all.is_some() && budget.take(1).now_or_never().is_none(), "one that is larger is alone");
    }
}
