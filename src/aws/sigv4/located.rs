//! Where a request carries its signature, and for which service it was made: what decides the route.

use super::authorization::SignatureParts;
use super::fault::SignatureFault;
use super::presigned;
use super::scope::Credential;
use crate::aws::head::AwsRequestHead;
use crate::aws::percent::{self, PlusSign};

/// Where the signature stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignaturePlace {
    /// In `Authorization`.
    Header,
    /// In the query: a presigned URL.
    Query,
}

/// A signature that was found, not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocatedSignature {
    pub place: SignaturePlace,
    /// The service of its scope, as it stands there.
    pub service: String,
}

/// Finds the signature of a request; `None` if it has none of AWS's. An `Authorization` of another scheme, as `Bearer`, is none.
pub fn locate(head: &AwsRequestHead) -> Result<Option<LocatedSignature>, SignatureFault> {
    let mut in_header = None;
    for value in head.headers.get_all(http::header::AUTHORIZATION) {
        let value = value.as_bytes();
        if value.starts_with(b"AWS ") {
            return Err(SignatureFault::Version2);
        }
        if value.starts_with(b"AWS4-") && in_header.replace(value).is_some() {
            return Err(SignatureFault::Several);
        }
    }
    if in_header.is_some() && head.headers.get_all(http::header::AUTHORIZATION).iter().count() > 1 {
        return Err(SignatureFault::Several);
    }
    let in_query = QuerySignature::find(head.query);
    match (in_header, in_query) {
        (_, QuerySignature::Repeated) => Err(SignatureFault::Several),
        (Some(_), QuerySignature::Version2 | QuerySignature::Version4 { .. }) => Err(SignatureFault::Several),
        (None, QuerySignature::Version2) => Err(SignatureFault::Version2),
        (None, QuerySignature::Absent) => Ok(None),
        (Some(value), QuerySignature::Absent) => {
            let service = SignatureParts::of_header(value)?.credential.scope.service;
            Ok(Some(LocatedSignature { place: SignaturePlace::Header, service }))
        }
        (None, QuerySignature::Version4 { credential }) => {
            let missing = SignatureFault::Incomplete("AWS query-string parameters must include 'X-Amz-Credential'.");
            let service = Credential::parse(&credential.ok_or(missing)?)?.scope.service;
            Ok(Some(LocatedSignature { place: SignaturePlace::Query, service }))
        }
    }
}

enum QuerySignature {
    Absent,
    Version2,
    Version4 {
        credential: Option<String>,
    },
    /// A parameter of a signature is there twice, so another reader of the request might take the other one.
    Repeated,
}

impl QuerySignature {
    /// Looks at each pair once and keeps none, so its work is bounded by the length of the query alone. A query that cannot be decoded may
    /// be one of the server's own paths, and is none of a signature here.
    fn find(query: &str) -> QuerySignature {
        const NAMES: [&str; 5] = [presigned::CREDENTIAL, presigned::SIGNATURE, presigned::ALGORITHM_NAME, "AWSAccessKeyId", "Signature"];
        let mut counts = [0usize; NAMES.len()];
        let mut credential = None;
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Ok(name) = percent::decode(name.as_bytes(), PlusSign::Space) else { continue };
            let Some(found) = NAMES.iter().position(|known| known.as_bytes() == name) else { continue };
            counts[found] += 1;
            if NAMES[found] == presigned::CREDENTIAL {
                let value = percent::decode(value.as_bytes(), PlusSign::Space).ok();
                credential = value.and_then(|value| String::from_utf8(value).ok());
            }
        }
        let [in_credential, in_signature, in_algorithm, key_id, old_signature] = counts;
        match (in_credential.max(in_signature).max(in_algorithm), key_id > 0 && old_signature > 0) {
            (2.., _) => QuerySignature::Repeated,
            (1, _) => QuerySignature::Version4 { credential },
            (0, true) => QuerySignature::Version2,
            (0, false) => QuerySignature::Absent,
        }
    }
}
