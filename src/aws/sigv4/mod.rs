//! Checks Signature Version 4 (IAM User Guide, "AWS Signature Version 4 for API requests"), in a header or in the query.
//!
//! In two steps, because the secret is only known by the access key id: [`SignedRequest::parse`] reads the signature, its time and its scope,
//! and refuses what no secret could make valid; [`SignedRequest::verify`] compares the signature with the key that the caller derived
//! ([`DerivedKey::derive`]) or kept from an earlier request of the same key, day, region and service.
//!
//! A signature covers the method, the path, the query, the payload and exactly the headers that it names. `host` and every `x-amz-*` header that
//! is in the request must be among them: otherwise a holder of a signed request could add one, and so change what is asked.

mod authorization;
mod canonical;
mod derived_key;
mod fault;
mod located;
mod presigned;
mod scope;
mod signed_request;

#[cfg(test)]
mod client_vectors_tests;
#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod refusal_tests;

pub use canonical::SigningRules;
pub use derived_key::DerivedKey;
pub use fault::{MAX_SKEW_S, SignatureFault};
pub use located::{LocatedSignature, SignaturePlace, locate};
pub use scope::CredentialScope;
pub use signed_request::SignedRequest;
