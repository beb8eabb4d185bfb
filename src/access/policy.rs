//! Policy documents: parsing within bounds, and what one statement says of a request.
//! Source: "IAM JSON policy element reference" and "Grammar of the IAM JSON policy language" in the IAM User Guide.
//!
//! [`PolicyDocument::parse`] checks everything that can be wrong with a policy, so that evaluation has no errors: a policy with an element, an operator or a
//! value that is not understood would be ignored exactly where it denies something.
//!
//! The principals of a trust policy or a bucket's policy are resolved to ids when the policy is saved ([`resolve_principals`]), and shown by their names
//! ([`show_principals`]): a user or role that is deleted and made anew has another id, so the policy does not trust it.

mod condition;
mod date;
mod decimal;
mod document;
mod effect;
mod elements;
mod error;
mod json;
mod kind;
mod operand;
mod operator;
mod parse;
mod pattern;
mod principal;
mod saved;
mod statement;
mod wildcard;
mod work;

pub use document::PolicyDocument;
pub use effect::Effect;
pub use error::PolicyError;
pub use kind::{PolicyKind, counted_size};
pub use principal::{PrincipalName, PrincipalScope};
pub use saved::{resolve_principals, show_principals};
pub use statement::PolicyStatement;
pub(in crate::access) use work::MatchContext;
