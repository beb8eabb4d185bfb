//! Which key pair of an issuer signs, when the next one is made, and when one can be dropped: a pure function of the times from which they sign.
//!
//! Applications keep an issuer's keys for hours and ask again when they meet a `kid` that they do not know, but some ask too rarely and some
//! never. So a pair is published a day before it signs, and its public half stays until the last token that it signed has ended.

use super::purpose::DAY_MS;

/// How long a pair signs.
const SIGNS_MS: u64 = 90 * DAY_MS;

/// How long a pair is published before it signs.
const PUBLISHED_AHEAD_MS: u64 = DAY_MS;

/// The longest life of a token that these pairs sign: that of ID and access tokens of a user pool, a day (TokenValidityUnits of
/// CreateUserPoolClient), and of GetOpenIdTokenForDeveloperIdentity, 86,400 s.
const LONGEST_TOKEN_MS: u64 = DAY_MS;

/// How much longer a public half is kept: a clock that is wrong by a day drops none that is still in use.
const KEPT_LONGER_MS: u64 = 2 * DAY_MS;

/// From when on a pair signs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SigningTimes {
    /// Milliseconds since 1970 (UTC).
    pub signs_from_ms: u64,
    /// The `kid`.
    pub key_id: String,
}

/// What is to be done with an issuer's pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningPlan {
    /// The `kid` of the pair that signs; `None` if there is no pair.
    pub signs: Option<String>,
    /// A pair has to be made now, which signs from this time on, in milliseconds since 1970 (UTC).
    pub make_from_ms: Option<u64>,
    /// The `kid`s of pairs whose tokens have all ended. All others are published and honoured.
    pub drop: Vec<String>,
}

/// What is to be done at a time with the pairs of an issuer, which may come in any order. Doing it twice changes nothing.
pub fn signing_plan(pairs: &[SigningTimes], now_ms: u64) -> SigningPlan {
    let mut sorted: Vec<&SigningTimes> = pairs.iter().collect();
    sorted.sort();
    // The newest whose time has come. If the clock has gone back before all of them, the oldest: applications know it longest.
    let signing = sorted.iter().rposition(|pair| pair.signs_from_ms <= now_ms).unwrap_or(0);
    let make_from_ms = match (sorted.get(signing), sorted.last()) {
        (Some(pair), Some(newest)) if newest.signs_from_ms <= now_ms => {
            let next_from_ms = pair.signs_from_ms.saturating_add(SIGNS_MS);
            let has_come = next_from_ms.saturating_sub(PUBLISHED_AHEAD_MS) <= now_ms;
            has_come.then(|| next_from_ms.max(now_ms.saturating_add(PUBLISHED_AHEAD_MS)))
        }
        (Some(_), _) => None,
        // An issuer's first pair: nobody knows another one.
        (None, _) => Some(now_ms),
    };
    let ended = sorted.windows(2).filter(|pair| {
        let last_token_ends_ms = pair[1].signs_from_ms.saturating_add(LONGEST_TOKEN_MS);
        last_token_ends_ms.saturating_add(KEPT_LONGER_MS) <= now_ms
    });
    SigningPlan {
        signs: sorted.get(signing).map(|pair| pair.key_id.clone()),
        make_from_ms,
        drop: ended.map(|pair| pair[0].key_id.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = DAY_MS / 24;
    const START_MS: u64 = 1_800_000_000_000;

    fn pair(key_id: &str, signs_from_ms: u64) -> SigningTimes {
        SigningTimes { signs_from_ms: START_MS + signs_from_ms, key_id: key_id.to_owned() }
    }

    #[test]
    fn a_pair_is_published_a_day_before_it_signs_and_until_its_last_token_has_ended() {
        let plan = |pairs: &[SigningTimes], at_ms: u64| signing_plan(pairs, START_MS + at_ms);
        let first = SigningPlan { signs: None, make_from_ms: Some(START_MS), drop: vec![] };
        assert_eq!(plan(&[], 0), first, "the first pair signs at once");
        let one = [pair("a", 0)];
        let only = SigningPlan { signs: Some("a".to_owned()), make_from_ms: None, drop: vec![] };
        assert_eq!(plan(&one, 89 * DAY_MS - 1), only);
        assert_eq!(plan(&one, 89 * DAY_MS).make_from_ms, Some(START_MS + 90 * DAY_MS));
        let two = [pair("b", 90 * DAY_MS), pair("a", 0)];
        assert_eq!(plan(&two, 90 * DAY_MS - 1), only);
        assert_eq!(plan(&two, 90 * DAY_MS), SigningPlan { signs: Some("b".to_owned()), ..only.clone() });
        let kept_until_ms = 90 * DAY_MS + LONGEST_TOKEN_MS + KEPT_LONGER_MS;
        assert_eq!(plan(&two, kept_until_ms - 1).drop, Vec::<String>::new());
        assert_eq!(plan(&two, kept_until_ms).drop, ["a"]);
    }

    #[test]
    fn after_a_long_stop_the_old_pair_signs_until_the_new_one_was_published_for_a_day() {
        let now_ms = START_MS + 365 * DAY_MS;
        let plan = signing_plan(&[pair("a", 0)], now_ms);
        assert_eq!(plan, SigningPlan { signs: Some("a".to_owned()), make_from_ms: Some(now_ms + DAY_MS), drop: vec![] });
    }

    #[test]
    fn pairs_that_two_servers_made_at_once_are_both_published_and_one_signs() {
        let pairs = [pair("a", 0), pair("b", DAY_MS), pair("c", DAY_MS)];
        let plan = signing_plan(&pairs, START_MS + 2 * DAY_MS);
        assert_eq!(plan, SigningPlan { signs: Some("c".to_owned()), make_from_ms: None, drop: vec![] });
    }

    #[test]
    fn the_largest_times_are_no_overflow_and_a_clock_that_goes_back_keeps_an_old_pair_signing() {
        let last = SigningTimes { signs_from_ms: u64::MAX, key_id: "a".to_owned() };
        assert_eq!(signing_plan(std::slice::from_ref(&last), 0).signs, Some("a".to_owned()));
        assert_eq!(signing_plan(&[last], u64::MAX).make_from_ms, Some(u64::MAX));
        let plan = signing_plan(&[pair("b", DAY_MS), pair("a", 0)], START_MS - 1);
        assert_eq!(plan, SigningPlan { signs: Some("a".to_owned()), make_from_ms: None, drop: vec![] });
    }

    /// By any server's clock within half a day, no pair signs that was not published for half a day (or is the first), and none that signed is gone
    /// before its tokens.
    #[test]
    fn no_token_is_signed_by_a_pair_that_applications_could_not_know() {
        for seed in 0..64 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut pairs: Vec<SigningTimes> = Vec::new();
            let mut published: Vec<(String, u64)> = Vec::new();
            let mut tokens: Vec<(String, u64)> = Vec::new();
            let mut hour = 0;
            while hour < 24 * 400 {
                // Now and then the server is off for weeks.
                hour += if random.u32(0..500) == 0 { random.u64(1..2000) } else { 1 };
                let true_ms = START_MS + hour * HOUR_MS;
                let now_ms = true_ms + random.u64(0..=DAY_MS / 2);
                let plan = signing_plan(&pairs, now_ms);
                if let Some(signs_from_ms) = plan.make_from_ms {
                    let key_id = format!("{:03}", published.len());
                    pairs.push(SigningTimes { signs_from_ms, key_id: key_id.clone() });
                    published.push((key_id, true_ms));
                }
                pairs.retain(|pair| !plan.drop.contains(&pair.key_id));
                tokens.retain(|(_, ends_ms)| *ends_ms > true_ms);
                assert!(tokens.iter().all(|(key_id, _)| pairs.iter().any(|pair| pair.key_id == *key_id)), "seed {seed}, hour {hour}");
                assert!(pairs.len() <= 3, "{pairs:?}");
                let again = signing_plan(&pairs, now_ms);
                assert!(again.make_from_ms.is_none() && again.drop.is_empty(), "doing it twice changes nothing");
                let signs = again.signs.expect("one signs");
                let since_ms = published.iter().find(|(key_id, _)| *key_id == signs).map(|(_, since_ms)| *since_ms);
                assert!(signs == "000" || since_ms.is_some_and(|since_ms| since_ms + DAY_MS / 2 <= true_ms), "seed {seed}, hour {hour}");
                tokens.push((signs, true_ms + LONGEST_TOKEN_MS));
            }
        }
    }
}
