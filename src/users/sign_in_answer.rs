//! The ways to sign in, and what they lead to.

use std::collections::BTreeMap;

use super::challenge::SignInChallenge;
use super::tokens::IssuedTokens;

/// A way to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthFlow {
    UserSrp,
    UserPassword,
    AdminUserPassword,
    Refresh,
}

/// What a sign-in leads to.
pub enum SignInAnswer {
    Tokens(SignedIn),
    Challenge(SignInChallenge),
}

/// Somebody who has signed in.
pub struct SignedIn {
    pub tokens: IssuedTokens,
}

/// ChallengeParameters of a call, by name.
pub type ChallengeParameters = BTreeMap<String, String>;
