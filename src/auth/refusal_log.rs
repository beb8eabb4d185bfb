//! Says in the log why tokens were rejected, in a bounded number of lines.
//!
//! A line has the issuer and the audience that the token names, which nobody has verified: they are shortened, and control characters are
//! escaped. It has no other part of the token. Each configured issuer has lines of its own, for each reason: a flood of forged tokens hides
//! neither the refusals of another issuer nor other refusals of its own. All issuers that no pool trusts share theirs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::info;

use super::claims::{Audience, read_audience, read_issuer};
use super::config::AUDIENCE_CLAIM;
use super::issuers::TrustedIssuers;
use super::refusal::TokenRefusal;
use super::token::CompactToken;

/// The lines about one issuer and reason in one interval. An operator who looks into a refusal tries a few tokens; anyone can send thousands of
/// bad ones.
const LINES: u64 = 3;

/// The interval, in seconds.
const INTERVAL_S: u64 = 10;

/// The most characters of a name in a line.
const NAME_CHARS: usize = 128;

/// A configured issuer, or `None` for all others, and the code of a reason. The configuration bounds their number.
type LineKind = (Option<Arc<str>>, &'static str);

#[derive(Default)]
pub(super) struct RefusalLog(Mutex<HashMap<LineKind, IntervalCount>>);

/// How many tokens were rejected in the interval with this number.
#[derive(Clone, Copy, Default)]
struct IntervalCount {
    interval: u64,
    refusals: u64,
}

/// Whom a token names, if it can be read.
#[derive(Debug, Default, PartialEq, Eq)]
struct TokenNames {
    /// The issuer as the configuration has it, if a pool trusts it.
    configured: Option<Arc<str>>,
    issuer: String,
    audience: String,
    /// The claim in which the audience was looked for.
    audience_claim: String,
}

impl RefusalLog {
    /// Logs the refusal, unless the interval has enough lines like it.
    pub(super) fn refused(&self, issuers: &TrustedIssuers, token: &str, refusal: TokenRefusal, now_s: u64) {
        let TokenNames { configured, issuer, audience, audience_claim } = TokenNames::read(issuers, token);
        let Some(not_logged) = self.count((configured, refusal.code()), now_s) else { return };
        info!(?issuer, ?audience, audience_claim, reason = refusal.code(), explanation = %refusal, not_logged, "token rejected");
    }

    /// Counts a refusal. `None`: it is not logged; otherwise how many of the last interval were not.
    fn count(&self, kind: LineKind, now_s: u64) -> Option<u64> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(kind).or_default();
        let interval = now_s / INTERVAL_S;
        let not_logged = if count.interval == interval { 0 } else { count.refusals.saturating_sub(LINES) };
        if count.interval != interval {
            *count = IntervalCount { interval, refusals: 0 };
        }
        count.refusals += 1;
        (count.refusals <= LINES).then_some(not_logged)
    }
}

impl TokenNames {
    /// Reads the names whatever else is wrong with the token, for example that it has no `sub` or `exp`.
    fn read(issuers: &TrustedIssuers, token: &str) -> TokenNames {
        let Ok(token) = CompactToken::split(token) else { return TokenNames::default() };
        let json = token.claims_json();
        let issuer = read_issuer(json).unwrap_or_default();
        let (configured, claims) = match issuers.configured(&issuer) {
            Some((configured, claims)) => (Some(Arc::clone(configured)), claims),
            None => (None, vec![AUDIENCE_CLAIM]),
        };
        let found = claims.iter().find_map(|claim| Some((*claim, read_audience(json, claim)?)));
        let (claim, audience) = found.map_or((claims[0], None), |(claim, audience)| (claim, Some(audience)));
        let audience = match audience {
            Some(Audience::One(name)) => shortened(&name),
            Some(Audience::Several(names)) => shortened(&names.iter().map(|name| &*name.0).collect::<Vec<_>>().join(", ")),
            None => String::new(),
        };
        TokenNames { configured, issuer: shortened(&issuer), audience, audience_claim: claim.to_owned() }
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(NAME_CHARS).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::super::support::*;
    use super::super::{IssuerConfig, Verifier};
    use super::*;

    #[test]
    fn an_interval_has_a_bounded_number_of_lines_and_the_next_one_says_how_many_are_missing() {
        let log = RefusalLog::default();
        let count = |now_s| log.count((None, "expired"), now_s);
        let lines = (0..100).filter(|_| count(1000).is_some()).count() as u64;
        assert_eq!(lines, LINES);
        assert_eq!(count(1000 + INTERVAL_S), Some(100 - LINES));
        assert_eq!(count(1000 + INTERVAL_S), Some(0));
        assert_eq!(count(1000), Some(0), "a clock that was set back begins another interval");
    }

    fn with_two_claims() -> Verifier {
        let own = |issuer: &str, audience_claim: &str, audience: &str| IssuerConfig {
            issuer: issuer.to_owned(),
            audience_claim: audience_claim.to_owned(),
            audience: vec![audience.to_owned()],
            ..shared_config()
        };
        let issuers = [own(ISSUER, "client_id", "a"), own(ISSUER, "azp", "b"), own("https://t.example/{tenantid}", "aud", "c")];
        Verifier::new([(POOL.into(), issuers.to_vec())]).unwrap()
    }

    #[test]
    fn a_flood_for_one_issuer_or_reason_hides_no_other() {
        let (log, verifier) = (RefusalLog::default(), with_two_claims());
        let lines = |claims: Value, refusal| {
            let token = shared_token(claims_with(claims));
            let kind = (TokenNames::read(&verifier.issuers(), &token).configured, TokenRefusal::code(refusal));
            (0..1000).filter(|_| log.count(kind.clone(), 1000).is_some()).count() as u64
        };
        assert_eq!(lines(json!({}), TokenRefusal::BadSignature), LINES);
        assert_eq!(lines(json!({}), TokenRefusal::Expired), LINES, "of the same issuer");
        assert_eq!(lines(json!({"iss": "https://t.example/one"}), TokenRefusal::BadSignature), LINES, "another issuer");
        assert_eq!(lines(json!({"iss": "https://t.example/two"}), TokenRefusal::BadSignature), 0, "the same, whatever its tenant");
        let invented = |n: u64| lines(json!({"iss": format!("https://{n}.example")}), TokenRefusal::UnknownIssuer);
        assert_eq!((0..100).map(invented).sum::<u64>(), LINES, "issuers that nobody has configured share their lines");
        assert_eq!(log.0.lock().unwrap().len(), 4, "so memory is bounded");
    }

    #[test]
    fn the_names_are_read_whatever_is_wrong_and_the_audience_where_the_issuer_has_it() {
        let verifier = with_two_claims();
        let read = |claims: Value| {
            let TokenNames { issuer, audience, audience_claim, .. } = TokenNames::read(&verifier.issuers(), &shared_token(claims));
            (issuer, format!("{audience_claim}={audience}"))
        };
        let of = |audience: &str| (ISSUER.to_owned(), audience.to_owned());
        assert_eq!(read(claims_with(json!({"client_id": "x"}))), of("client_id=x"));
        assert_eq!(read(claims_with(json!({"azp": ["x", "y"]}))), of("azp=x, y"));
        assert_eq!(read(claims_with(json!({}))), of("client_id="), "aud is none of its claims");
        assert_eq!(read(claims_with(json!({"client_id": 7, "azp": "x"}))), of("azp=x"));
        for missing in ["sub", "exp"] {
            assert_eq!(read(claims_with(json!({missing: null, "client_id": "x"}))), of("client_id=x"), "without {missing}");
        }
        assert_eq!(read(claims_with(json!({"exp": "soon", "nbf": [], "client_id": "x"}))), of("client_id=x"));
        assert_eq!(
            read(claims_with(json!({"iss": "https://other.example"}))),
            ("https://other.example".to_owned(), format!("aud={AUDIENCE}"))
        );
        assert_eq!(read(claims_with(json!({"iss": 7}))).0, "");
        for unreadable in ["", "a.b.c", "a", "e30.e30", "e30.W10.x"] {
            assert_eq!(TokenNames::read(&verifier.issuers(), unreadable).issuer, "", "{unreadable}");
        }
        let long = read(claims_with(json!({"iss": "i".repeat(5_000), "aud": "a".repeat(5_000)})));
        assert_eq!((long.0.len(), long.1.len()), (NAME_CHARS, NAME_CHARS + "aud=".len()));
    }
}
