//! `WWW-Authenticate`: how a request that was answered with 401 is authenticated (RFC 6750 section 3).

use axum::http::HeaderValue;

/// The most characters of a description: a message of an unknown length must not make a header that a client or proxy rejects.
const DESCRIPTION_CHARACTERS: usize = 512;

/// What a 401 says about the token or key.
pub(super) enum Challenge<'a> {
    /// The request has no token. A challenge then has no error (RFC 6750 section 3.1).
    TokenMissing,
    /// The token was refused; why, for people.
    TokenRefused(&'a str),
    /// The token is valid, but its user proved who they are too long ago (RFC 9470 section 3).
    NotFresh { within_s: u64 },
    /// The admin API was sent no valid operator key.
    OperatorKey,
}

impl Challenge<'_> {
    pub(super) fn header(&self) -> HeaderValue {
        match self {
            Challenge::TokenMissing => HeaderValue::from_static("Bearer realm=\"driftless\""),
            Challenge::OperatorKey => HeaderValue::from_static("Bearer realm=\"driftless admin\""),
            Challenge::NotFresh { within_s } => {
                let text = format!("Bearer realm=\"driftless\", error=\"insufficient_user_authentication\", max_age=\"{within_s}\"");
                HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer realm=\"driftless\""))
            }
            Challenge::TokenRefused(why) => {
                let text = format!("Bearer realm=\"driftless\", error=\"invalid_token\", error_description=\"{}\"", description(why));
                HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer realm=\"driftless\", error=\"invalid_token\""))
            }
        }
    }
}

/// The text in the characters that a description may have: printable ASCII without quotes and backslashes.
fn description(text: &str) -> String {
    let allowed = |c: char| if matches!(c, ' '..='~') && c != '"' && c != '\\' { c } else { '\'' };
    text.chars().take(DESCRIPTION_CHARACTERS).map(allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_has_only_the_characters_that_a_header_and_a_quoted_string_allow() {
        let header = Challenge::TokenRefused("the \"aud\" is \\ \u{7f}\r\nX: ü").header();
        let expected = "Bearer realm=\"driftless\", error=\"invalid_token\", error_description=\"the 'aud' is ' '''X: '\"";
        assert_eq!(header.to_str().expect("ASCII"), expected);
        assert!(Challenge::TokenRefused(&"x".repeat(100_000)).header().len() < 1024);
    }
}
