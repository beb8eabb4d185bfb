//! The memory that messages on their way take: of one identity, and of all. What is received and what is sent have budgets of their own.
//!
//! - Memory is taken by length before there is anything in it, and given back when the last reference to it is gone.
//! - A caller that waits for memory of a budget holds nothing of the same budget, and one that waits to receive goes on sending its answers
//!   meanwhile: so one of them can always go on, and waits end when peers read or are given up.
//! - An identity has an entry only while it holds something.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::{MemoryLimits, MemoryUse};

/// What memory is counted in, in bytes: a permit of a semaphore is so much.
const UNIT_BYTES: usize = 1024;

/// The budgets of a server. Clones share them.
#[derive(Clone, Debug)]
pub struct MemoryBudgets(Arc<ServerBudgets>);

#[derive(Debug)]
struct ServerBudgets {
    limits: MemoryLimits,
    all: DirectionBudgets,
    identities: Mutex<HashMap<Arc<str>, Weak<IdentityBudgets>>>,
}

#[derive(Debug)]
struct DirectionBudgets {
    received: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

/// The budgets of an identity that holds something, or waits.
#[derive(Debug)]
struct IdentityBudgets {
    identity: Arc<str>,
    of: DirectionBudgets,
    server: Arc<ServerBudgets>,
}

/// Memory that counts against an identity and against all, until it is dropped.
#[derive(Debug)]
pub struct HeldMemory {
    // Given back before the identity's entry goes.
    of_identity: OwnedSemaphorePermit,
    of_all: OwnedSemaphorePermit,
    _budgets: Arc<IdentityBudgets>,
}

/// Bytes, and the memory that they count as.
struct HeldBytes {
    bytes: Vec<u8>,
    _memory: HeldMemory,
}

impl DirectionBudgets {
    fn new(received_mib: u32, answers_mib: u32) -> DirectionBudgets {
        let budget = |mib: u32| Arc::new(Semaphore::new(mib as usize * 1024 * 1024 / UNIT_BYTES));
        DirectionBudgets { received: budget(received_mib), answers: budget(answers_mib) }
    }

    fn of(&self, what: MemoryUse) -> &Arc<Semaphore> {
        match what {
            MemoryUse::Received => &self.received,
            MemoryUse::Answers => &self.answers,
        }
    }
}

impl Default for MemoryBudgets {
    fn default() -> MemoryBudgets {
        MemoryBudgets::new(MemoryLimits::default())
    }
}

impl MemoryBudgets {
    pub fn new(limits: MemoryLimits) -> MemoryBudgets {
        let all = DirectionBudgets::new(limits.received_mib, limits.answers_mib);
        MemoryBudgets(Arc::new(ServerBudgets { limits, all, identities: Mutex::default() }))
    }

    /// Takes memory, if there is enough and nobody waits for some.
    pub fn try_take(&self, identity: &Arc<str>, what: MemoryUse, bytes: usize) -> Option<HeldMemory> {
        let (budgets, units) = (self.entry(identity), self.units(what, bytes));
        let of_identity = Arc::clone(budgets.of.of(what)).try_acquire_many_owned(units).ok()?;
        let of_all = Arc::clone(self.0.all.of(what)).try_acquire_many_owned(units).ok()?;
        Some(HeldMemory { of_identity, of_all, _budgets: budgets })
    }

    /// Takes memory. Waits until there is enough, in the order of the calls. A call for more than there is waits until all of it is free.
    pub fn take(&self, identity: &Arc<str>, what: MemoryUse, bytes: usize) -> impl Future<Output = HeldMemory> + Send + use<> {
        let (budgets, units) = (self.entry(identity), self.units(what, bytes));
        async move {
            let of_identity = acquire(Arc::clone(budgets.of.of(what)), units).await;
            let of_all = acquire(Arc::clone(budgets.server.all.of(what)), units).await;
            HeldMemory { of_identity, of_all, _budgets: budgets }
        }
    }

    /// How many bytes are held, by all.
    pub fn held_bytes(&self, what: MemoryUse) -> usize {
        self.0.limits.all_bytes(what) - self.0.all.of(what).available_permits() * UNIT_BYTES
    }

    /// How many bytes an identity holds.
    pub fn identity_held_bytes(&self, identity: &str, what: MemoryUse) -> usize {
        let known = self.0.identities().get(identity).and_then(Weak::upgrade);
        known.map_or(0, |budgets| self.0.limits.identity_bytes(what) - budgets.of.of(what).available_permits() * UNIT_BYTES)
    }

    fn units(&self, what: MemoryUse, bytes: usize) -> u32 {
        let most = self.0.limits.identity_bytes(what).min(self.0.limits.all_bytes(what));
        u32::try_from(bytes.min(most).div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
    }

    fn entry(&self, identity: &Arc<str>) -> Arc<IdentityBudgets> {
        let mut identities = self.0.identities();
        if let Some(known) = identities.get(identity).and_then(Weak::upgrade) {
            return known;
        }
        let MemoryLimits { identity_received_mib, identity_answers_mib, .. } = self.0.limits;
        let of = DirectionBudgets::new(identity_received_mib, identity_answers_mib);
        let entry = Arc::new(IdentityBudgets { identity: Arc::clone(identity), of, server: Arc::clone(&self.0) });
        identities.insert(Arc::clone(identity), Arc::downgrade(&entry));
        entry
    }
}

async fn acquire(budget: Arc<Semaphore>, units: u32) -> OwnedSemaphorePermit {
    match budget.acquire_many_owned(units).await {
        Ok(permits) => permits,
        // A budget is never closed.
        Err(_) => std::future::pending().await,
    }
}

impl ServerBudgets {
    fn identities(&self) -> MutexGuard<'_, HashMap<Arc<str>, Weak<IdentityBudgets>>> {
        self.identities.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for IdentityBudgets {
    fn drop(&mut self) {
        let mut identities = self.server.identities();
        // Another entry may have been made since the last reference to this one was gone.
        if identities.get(&self.identity).is_some_and(|known| known.strong_count() == 0) {
            identities.remove(&self.identity);
        }
    }
}

impl HeldMemory {
    pub fn bytes(&self) -> usize {
        self.of_identity.num_permits() * UNIT_BYTES
    }

    /// Gives back what is more than this.
    pub fn shrink_to(&mut self, bytes: usize) {
        drop(self.split_off(bytes));
    }

    /// Takes more, up to this, if there is enough and nobody waits for some.
    pub fn try_grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.div_ceil(UNIT_BYTES).saturating_sub(self.of_identity.num_permits());
        let Ok(units) = u32::try_from(more) else { return false };
        let grown = |of: &OwnedSemaphorePermit| Arc::clone(of.semaphore()).try_acquire_many_owned(units);
        let (Ok(of_identity), Ok(of_all)) = (grown(&self.of_identity), grown(&self.of_all)) else { return false };
        self.of_identity.merge(of_identity);
        self.of_all.merge(of_all);
        true
    }

    /// Keeps so much, and returns the rest.
    pub fn split_off(&mut self, bytes: usize) -> Option<HeldMemory> {
        let rest = self.of_identity.num_permits().checked_sub(bytes.div_ceil(UNIT_BYTES)).filter(|rest| *rest > 0)?;
        let (of_identity, of_all) = (self.of_identity.split(rest)?, self.of_all.split(rest)?);
        Some(HeldMemory { of_identity, of_all, _budgets: Arc::clone(&self._budgets) })
    }

    /// The same bytes, which count as memory until the last reference to them is gone.
    pub fn hold(mut self, mut bytes: Vec<u8>) -> Bytes {
        bytes.shrink_to_fit();
        self.shrink_to(bytes.len());
        Bytes::from_owner(HeldBytes { bytes, _memory: self })
    }
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::MemoryUse::{Answers, Received};
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn budgets() -> MemoryBudgets {
        MemoryBudgets::new(MemoryLimits { identity_received_mib: 2, identity_answers_mib: 3, received_mib: 4, answers_mib: 5 })
    }

    #[test]
    fn one_identity_takes_its_share_and_no_more() {
        let (budgets, alice, bob) = (budgets(), Arc::from("alice"), Arc::from("bob"));
        let one = budgets.try_take(&alice, Received, MIB).expect("there is enough");
        let other = budgets.try_take(&alice, Received, MIB).expect("there is enough");
        assert!(budgets.try_take(&alice, Received, 1).is_none());
        assert!(budgets.try_take(&alice, Answers, 3 * MIB).is_some(), "answers have their own");
        assert!(budgets.try_take(&bob, Received, 2 * MIB).is_some(), "so has another identity");
        assert_eq!((budgets.identity_held_bytes("alice", Received), budgets.held_bytes(Received)), (2 * MIB, 2 * MIB));
        drop((one, other));
        assert_eq!((budgets.identity_held_bytes("alice", Received), budgets.held_bytes(Received)), (0, 0));
        assert!(budgets.0.identities().is_empty());
    }

    #[test]
    fn all_identities_together_have_a_bound() {
        let budgets = budgets();
        let held: Vec<_> = (0..4).filter_map(|number| budgets.try_take(&Arc::from(format!("{number}")), Received, 2 * MIB)).collect();
        assert_eq!((held.len(), budgets.held_bytes(Received)), (2, 4 * MIB));
        assert_eq!(budgets.0.identities().len(), 2, "who got nothing is not remembered");
    }

    #[test]
    fn who_waits_comes_before_who_asks_later() {
        let (budgets, alice) = (budgets(), Arc::from("alice"));
        let held = budgets.try_take(&alice, Received, 2 * MIB);
        let mut waiting = Box::pin(budgets.take(&alice, Received, MIB));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(held);
        assert!(budgets.try_take(&alice, Received, 2 * MIB).is_none());
        assert_eq!(waiting.now_or_never().map(|held| held.bytes()), Some(MIB));
        assert!(budgets.take(&alice, Received, 100 * MIB).now_or_never().is_some(), "more than there is: all of it");
    }

    #[test]
    fn bytes_count_until_the_last_reference_is_gone() {
        let (budgets, alice) = (budgets(), Arc::from("alice"));
        let held = budgets.try_take(&alice, Answers, 2 * MIB).expect("there is enough");
        let bytes = held.hold(vec![0; MIB]);
        assert_eq!(budgets.held_bytes(Answers), MIB);
        let part = bytes.slice(..1);
        drop(bytes);
        assert_eq!(budgets.held_bytes(Answers), MIB, "a part holds all of it");
        drop(part);
        assert_eq!(budgets.held_bytes(Answers), 0);
    }
}
