//! Who may do what: the policies of IAM, and the one question that decides a request, [`evaluate`].
//!
//! An [`AccessRequest`] names the caller, the action, the resource and the context keys; [`Grants`] are the policies that bear on it, each with its
//! source. The [`AccessDecision`] says which statement allowed the request, or why it is denied, in AWS's words.
//!
//! [`Accounts`] makes accounts and keys, and knows whose key signed a request: it alone reads a clock and the store.
//!
//! Never in a decision: a clock, a store, a runtime. The time of a request is a context key like the others. Policies are parsed by [`policy`] when they are
//! saved, and again when they are read; what was refused is never evaluated.
//!
//! Invariants:
//! - an explicit deny wins over every allow, in whatever policy it stands;
//! - boundaries and session policies only limit: adding one never adds a right;
//! - across accounts the caller's policies and the resource's policy must both allow;
//! - the outcome does not depend on the order of policies or statements;
//! - a request that takes more work than the bound is denied.

mod accounts;
mod arn;
mod ask;
mod assume;
mod caller;
mod context;
mod decision;
mod development_key;
mod evaluate;
mod explain;
mod grants;
mod grants_cache;
mod iam;
pub mod policy;
mod session;
mod shared;

pub use crate::store::AccountId;
pub use accounts::{AccountRefused, AccountResult, MOST_LISTED, NewAccessKey, Signer, UnusableKey};
pub use arn::Arn;
pub use ask::{AccessOperation, AccessRequest, ArnScope, OperationAsk, OperationPolicy};
pub use assume::{AssumeRefused, AssumeResult, AssumedRole, RoleAsk};
pub use caller::{Caller, Federation, IDENTITY_PROVIDER, PoolIdentity, RoleSession, UserIdentity};
pub use context::RequestContext;
pub use decision::{AccessDecision, AllowSource, DenialReason, PolicyType, StatementSource};
pub use development_key::{DEVELOPMENT_ACCESS_KEY_ID, DEVELOPMENT_ACCOUNT, DEVELOPMENT_SECRET_ACCESS_KEY};
pub use evaluate::{Grants, NamedPolicy, ResourcePolicy, evaluate};
pub use explain::{ExplainAsk, Explanation};
pub use grants::{AccessDenied, CallerGrants};
pub use iam::{
    IamError, IamPage, IamResult, InlineDocument, MAX_TAGS, MOST_ITEMS, NewPolicy, NewProvider, NewRole, NewUser, PolicyRecord, RoleRecord,
    UserKey, parse_path,
};
pub use session::{SessionLimits, SignedCaller, TemporaryCredentials};
pub use shared::Accounts;

#[cfg(test)]
mod tests;
