//! User pools: the people of an app, how they prove who they are, and the tokens that they get.
//!
//! - [`UserPools`] is what the wire asks: one file for each thing that somebody may want of it. It alone reads a clock, waits, reads and writes.
//! - What is decided is decided purely: codes, locks, attributes, challenges, claims, refresh tokens.
//! - Everybody who is not there is answered in the same shape and after the same work as everybody who is.
//!
//! Never here: identities, sessions and datasets. A user pool's tokens come to `auth` as those of any other issuer.

mod admin;
mod attributes;
mod challenge;
mod clients;
mod code;
mod fault;
mod messages;
mod names;
mod new_password;
mod pool_keys;
mod pools;
pub mod proof;
mod recovery;
mod refresh_token;
mod self_service;
mod sign_in;
mod sign_in_answer;
mod sign_up;
mod token_claims;
mod tokens;
mod tries;
mod unknown_users;
mod user_pools;
mod workers;

pub use admin::{ListedUsers, MOST_LISTED, NewPoolUser, UserFilter, status_name};
pub use attributes::{Attributes, MAX_CUSTOM_NAME_CHARS, MOST_CUSTOM, STANDARD};
pub use challenge::SignInChallenge;
pub use clients::{ClientSecretChoice, NewClient};
pub use fault::UserFault;
pub use names::CodeDelivery;
pub use pool_keys::PoolKeys;
pub use pools::NewUserPool;
pub use self_service::{EndedSignIns, OwnUser};
pub use sign_in_answer::{AuthFlow, ChallengeParameters, SignInAnswer, SignedIn};
pub use sign_up::SignedUp;
pub use tokens::{IssuedTokens, SecretProof};
pub use user_pools::{ClientCall, UserPools, UserPoolsSetup};
pub use workers::Workers;

#[cfg(test)]
mod support;
#[cfg(test)]
use support::{settings_of_test, user_of_test};
#[cfg(test)]
mod tests;
