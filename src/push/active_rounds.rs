//! Which identities have a wake round now, and which rest after one that failed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use tokio::task::{Id, JoinError};
use tokio::time::Instant;
use tracing::{error, warn};

use crate::store::Identity;

/// How long an identity rests whose round panicked, or whose results could not be stored: it would fail again, and its devices be woken again.
const FAILED_PAUSE: Duration = Duration::from_secs(60);

/// How long an identity rests whose round could not be read, and nobody was woken.
const UNREAD_PAUSE: Duration = Duration::from_secs(1);

/// Identities that rest at most. Of more, those whose rest ends first have their next round earlier.
const MAX_PAUSED: usize = 4096;

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoundEnd {
    Done,
    /// It cannot be read.
    Unread,
    /// Its results cannot be stored.
    NotStored,
}

/// The identities that have no other round now: those whose rounds are running, and those that rest after one that failed. Only the former take one of
/// the places.
#[derive(Default)]
pub(super) struct ActiveRounds {
    identities: HashSet<Identity>,
    tasks: HashMap<Id, Identity>,
    /// Each with the end of its rest.
    paused: BTreeSet<(Instant, Identity)>,
}

impl ActiveRounds {
    /// Whether an identity has no other round now.
    pub(super) fn has(&self, identity: &Identity) -> bool {
        self.identities.contains(identity)
    }

    /// Whether no identity has a round or rests.
    pub(super) fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// Notes the task of an identity's round.
    pub(super) fn begun(&mut self, task: Id, identity: Identity) {
        self.identities.insert(identity.clone());
        self.tasks.insert(task, identity);
    }

    /// Gives back the place of a finished task.
    pub(super) fn finished(&mut self, done: Result<(Id, RoundEnd), JoinError>, now: Instant) {
        let (task, end) = done.map_or_else(|panic| (panic.id(), None), |(task, end)| (task, Some(end)));
        let Some(identity) = self.tasks.remove(&task) else { return };
        let pause = match end {
            Some(RoundEnd::Done) => {
                self.identities.remove(&identity);
                return;
            }
            Some(RoundEnd::Unread) => UNREAD_PAUSE,
            Some(RoundEnd::NotStored) => {
                warn!(%identity, "wake round not stored, the next one follows later");
                FAILED_PAUSE
            }
            None => {
                error!(%identity, "wake round panicked");
                FAILED_PAUSE
            }
        };
        self.paused.insert((now + pause, identity));
        self.end_pauses(now);
    }

    /// Lets identities have rounds again whose rest has ended.
    pub(super) fn end_pauses(&mut self, now: Instant) {
        while self.paused.len() > MAX_PAUSED || self.paused.first().is_some_and(|(end, _)| *end <= now) {
            if let Some((_, identity)) = self.paused.pop_first() {
                self.identities.remove(&identity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    fn identity(n: usize) -> Identity {
        Identity::from(format!("local:{n}").as_str())
    }

    /// Runs a round of an identity that ends so, and returns when its place is free again.
    async fn run(active: &mut ActiveRounds, rounds: &mut JoinSet<RoundEnd>, identity: Identity, end: fn() -> RoundEnd, now: Instant) {
        assert!(!active.has(&identity), "it has a round or rests");
        active.begun(rounds.spawn(async move { end() }).id(), identity);
        let done = rounds.join_next_with_id().await.expect("a round");
        active.finished(done, now);
    }

    #[tokio::test]
    async fn a_round_that_cannot_be_kept_gives_its_place_back_and_its_identity_rests() {
        let (mut active, mut rounds, now) = (ActiveRounds::default(), JoinSet::new(), Instant::now());
        let fails: [(fn() -> RoundEnd, Duration); 3] =
            [(|| RoundEnd::Unread, UNREAD_PAUSE), (|| RoundEnd::NotStored, FAILED_PAUSE), (|| panic!("as a round may"), FAILED_PAUSE)];
        for (n, (end, _)) in fails.into_iter().enumerate() {
            run(&mut active, &mut rounds, identity(n), end, now + Duration::from_millis(n as u64)).await;
        }
        assert!(rounds.is_empty() && active.tasks.is_empty(), "the places are free");
        assert!(!active.is_empty(), "their dates have passed: the courier does not look at them without a pause");
        for (n, (_, pause)) in fails.into_iter().enumerate() {
            let end = now + pause + Duration::from_millis(n as u64);
            active.end_pauses(end - Duration::from_millis(1));
            assert!(active.has(&identity(n)), "{n} has no other round before its rest ends");
            active.end_pauses(end);
            assert!(!active.has(&identity(n)), "{n} has another round");
        }
        run(&mut active, &mut rounds, identity(9), || RoundEnd::Done, now).await;
        assert!(active.is_empty() && active.paused.is_empty());
    }

    #[tokio::test]
    async fn the_number_of_identities_that_rest_is_bounded() {
        let (mut active, mut rounds, now) = (ActiveRounds::default(), JoinSet::new(), Instant::now());
        for n in 0..MAX_PAUSED + 3 {
            run(&mut active, &mut rounds, identity(n), || RoundEnd::NotStored, now + Duration::from_millis(n as u64)).await;
        }
        assert_eq!((active.paused.len(), active.identities.len()), (MAX_PAUSED, MAX_PAUSED));
        assert!(!active.has(&identity(2)) && active.has(&identity(3)), "the first ones rest no more");
    }
}
