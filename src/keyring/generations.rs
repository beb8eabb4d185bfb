//! Which generation of sealing keys seals, which one is made, and which ones can be dropped: a pure function of the times at which they were made.
//!
//! The newest generation seals. A generation opens what it sealed for as long as it is there, and it can be dropped when all of that has expired.
//! That a generation is not known is no proof of a forged token: another server of the same store may have made it a moment ago.

use super::purpose::{DAY_MS, Purpose};

/// How much longer a generation is kept than what it sealed can be valid. A clock that is wrong by some days drops nothing that is still in use.
const KEPT_LONGER_MS: u64 = 7 * DAY_MS;

/// When a generation was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationTimes {
    /// The first generation of a purpose has number 1; the next one has the next number.
    pub number: u32,
    /// Milliseconds since 1970 (UTC).
    pub made_ms: u64,
}

/// What is to be done with the generations of one purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnPlan {
    /// The number of the generation that has to be made now. Two servers that make it at once agree by the store: the one that comes second finds
    /// the row, and takes the other's key.
    pub make: Option<u32>,
    /// The numbers of generations whose seals have all expired.
    pub drop: Vec<u32>,
}

/// The generation that seals: the newest. The clock has no part in it, so a clock that goes back never brings an older key back.
pub fn sealing_number(generations: &[GenerationTimes]) -> Option<u32> {
    generations.iter().map(|one| one.number).max()
}

/// What is to be done at a time with the generations of a purpose, which may come in any order. Doing it twice changes nothing.
pub fn turn_plan(purpose: Purpose, generations: &[GenerationTimes], now_ms: u64) -> TurnPlan {
    let mut sorted = generations.to_vec();
    sorted.sort_by_key(|one| one.number);
    let make = match sorted.last() {
        None => Some(1),
        Some(newest) if newest.made_ms.saturating_add(purpose.turn_ms()) <= now_ms => newest.number.checked_add(1),
        Some(_) => None,
    };
    let mut drop = Vec::new();
    if let Some(longest_ms) = purpose.longest_life_ms() {
        // A generation seals until the next one is made, and the newest one still does.
        let ended = sorted.windows(2).filter(|pair| {
            let last_seal_expires_ms = pair[1].made_ms.saturating_add(longest_ms);
            last_seal_expires_ms.saturating_add(KEPT_LONGER_MS) <= now_ms
        });
        drop.extend(ended.map(|pair| pair[0].number));
    }
    TurnPlan { make, drop }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = DAY_MS / 24;
    const START_MS: u64 = 1_800_000_000_000;

    fn made(number: u32, days: u64) -> GenerationTimes {
        GenerationTimes { number, made_ms: START_MS + days * DAY_MS }
    }

    #[test]
    fn a_generation_seals_for_a_week_and_is_kept_until_its_last_seal_has_expired() {
        let plan = |generations: &[GenerationTimes], at_ms: u64| turn_plan(Purpose::Sts, generations, START_MS + at_ms);
        assert_eq!(plan(&[], 0), TurnPlan { make: Some(1), drop: vec![] });
        assert_eq!(plan(&[made(1, 0)], 7 * DAY_MS - 1), TurnPlan { make: None, drop: vec![] });
        assert_eq!(plan(&[made(1, 0)], 7 * DAY_MS), TurnPlan { make: Some(2), drop: vec![] });
        // The last seal of the first one is of day 7, and is valid for 36 hours.
        let two = [made(2, 7), made(1, 0)];
        assert_eq!(sealing_number(&two), Some(2));
        let kept_until_ms = 7 * DAY_MS + 36 * HOUR_MS + KEPT_LONGER_MS;
        assert_eq!(plan(&two, kept_until_ms - 1).drop, Vec::<u32>::new());
        assert_eq!(plan(&two, kept_until_ms).drop, [1]);
        // A server that was off for a year makes the next one before it drops the last.
        assert_eq!(plan(&[made(1, 0)], 365 * DAY_MS), TurnPlan { make: Some(2), drop: vec![] });
    }

    #[test]
    fn generations_that_seal_secrets_are_never_dropped() {
        let plan = turn_plan(Purpose::Secret, &[made(1, 0), made(2, 90), made(3, 180)], START_MS + 100_000 * DAY_MS);
        assert_eq!(plan, TurnPlan { make: Some(4), drop: vec![] });
    }

    #[test]
    fn the_largest_times_and_numbers_are_no_overflow() {
        let last = GenerationTimes { number: u32::MAX, made_ms: u64::MAX };
        for purpose in Purpose::ALL {
            assert_eq!(turn_plan(purpose, &[last], u64::MAX).make, None);
            assert_eq!(turn_plan(purpose, &[GenerationTimes { made_ms: 0, ..last }], u64::MAX).make, None);
        }
    }

    /// Whatever the clock does within a day, nothing that is valid by the clock has lost its generation, and the few that are there differ in
    /// the five bits that an access key id says.
    #[test]
    fn a_clock_that_jumps_by_a_day_both_ways_loses_nothing() {
        for seed in 0..64 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut generations: Vec<GenerationTimes> = Vec::new();
            let mut sealed: Vec<(u32, u64)> = Vec::new();
            for hour in 0..24 * 7 * 12 {
                let jump_ms = random.u64(0..=2 * DAY_MS);
                let now_ms = START_MS + hour * HOUR_MS + jump_ms;
                let plan = turn_plan(Purpose::Sts, &generations, now_ms);
                generations.extend(plan.make.map(|number| GenerationTimes { number, made_ms: now_ms }));
                generations.retain(|one| !plan.drop.contains(&one.number));
                assert_eq!(
                    turn_plan(Purpose::Sts, &generations, now_ms),
                    TurnPlan { make: None, drop: vec![] },
                    "doing it twice changes nothing"
                );
                // What has expired by this clock may be valid again by the next one.
                sealed.retain(|(_, expires_ms)| *expires_ms > START_MS + hour * HOUR_MS);
                for (number, _) in sealed.iter().filter(|(_, expires_ms)| *expires_ms > now_ms) {
                    assert!(generations.iter().any(|one| one.number == *number), "seed {seed}, hour {hour}");
                }
                sealed.push((sealing_number(&generations).expect("one seals"), now_ms + random.u64(1..=36 * HOUR_MS)));
                assert!(generations.len() <= 5, "{generations:?}");
            }
        }
    }
}
