//! Which identities have a place among the running rounds.

use super::*;

fn identity(n: usize) -> Identity {
    Identity::from(format!("local:{n}").as_str())
}

/// Runs a round of an identity that ends so, and returns when its place is free again.
async fn run(active: &mut ActiveRounds, rounds: &mut JoinSet<RoundEnd>, identity: Identity, end: fn() -> RoundEnd, now: Instant) {
    assert!(active.identities.insert(identity.clone()), "it has a round or rests");
    active.tasks.insert(rounds.spawn(async move { end() }).id(), identity);
    let done = rounds.join_next_with_id().await.expect("a round");
    active.finished(done, now);
}

#[tokio::test]
async fn a_round_that_cannot_be_kept_gives_its_place_back_and_its_identity_rests() {
    let (mut active, mut rounds, now) = (ActiveRounds::default(), JoinSet::new(), Instant::now());
    let fails: [(fn() -> RoundEnd, Duration); 3] =
        [(|| RoundEnd::Unread, UNREAD_PAUSE), (|| RoundEnd::NotStored, FAILED_PAUSE), (|| panic!("as a round may"), FAILED_PAUSE)];
    for (n, (end, _)) in fails.into_iter().enumerate() {
        run(&mut active, &mut rounds, identity(n), end, now).await;
    }
    assert!(rounds.is_empty() && active.tasks.is_empty(), "the places are free");
    for (n, (_, pause)) in fails.into_iter().enumerate() {
        active.end_pauses(now + pause - Duration::from_millis(1));
        assert!(active.identities.contains(&identity(n)), "{n} has no other round before its rest ends");
        active.end_pauses(now + pause);
        assert!(!active.identities.contains(&identity(n)), "{n} has another round");
    }
    run(&mut active, &mut rounds, identity(9), || RoundEnd::Done, now).await;
    assert!(active.identities.is_empty() && active.paused.is_empty());
}

#[tokio::test]
async fn the_number_of_identities_that_rest_is_bounded() {
    let (mut active, mut rounds, now) = (ActiveRounds::default(), JoinSet::new(), Instant::now());
    for n in 0..MAX_PAUSED + 3 {
        run(&mut active, &mut rounds, identity(n), || RoundEnd::NotStored, now + Duration::from_millis(n as u64)).await;
    }
    assert_eq!((active.paused.len(), active.identities.len()), (MAX_PAUSED, MAX_PAUSED));
    assert!(!active.identities.contains(&identity(2)) && active.identities.contains(&identity(3)), "the first ones rest no more");
}
