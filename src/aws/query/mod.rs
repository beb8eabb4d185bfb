//! AWS's query protocol (the Smithy specification, "AWS query protocol"): a form in, XML out, for sts, iam and sns.

mod call;
mod form;
pub mod xml;

pub use call::{QueryCall, answer};
pub use form::{FormFault, FormMembers, QueryForm};
