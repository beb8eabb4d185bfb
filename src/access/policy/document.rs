//! A policy document.

use super::error::PolicyError;
use super::json::PolicyJson;
use super::kind::PolicyKind;
use super::parse::parse_document;
use super::statement::PolicyStatement;

/// A policy that was parsed and is valid.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyDocument {
    statements: Vec<PolicyStatement>,
    /// The resources as the policy writes them.
    resources: Vec<String>,
}

impl PolicyDocument {
    /// Parses a policy of this kind: within its size and eight levels of nesting, without members that are unknown or occur twice. The work is bounded by
    /// the largest text, 131,072 characters.
    pub fn parse(kind: PolicyKind, text: &str) -> Result<PolicyDocument, PolicyError> {
        kind.check_size(text)?;
        PolicyDocument::of(kind, &read_json(kind, text)?)
    }

    /// Parses a policy that is stored: it was accepted once, and ids and ARNs in place of what its author wrote do not count against its size.
    pub fn parse_stored(kind: PolicyKind, text: &str) -> Result<PolicyDocument, PolicyError> {
        PolicyDocument::of(kind, &read_json(kind, text)?)
    }

    pub(super) fn of(kind: PolicyKind, json: &PolicyJson) -> Result<PolicyDocument, PolicyError> {
        let parsed = parse_document(kind, json).map_err(|flaw| kind.malformed(&flaw.0));
        parsed.map(|(statements, resources)| PolicyDocument { statements, resources })
    }

    pub fn statements(&self) -> &[PolicyStatement] {
        &self.statements
    }

    /// Whether a bucket's policy names only this bucket and its objects, as PutBucketPolicy demands ("Policy has invalid resource").
    pub fn names_only_bucket(&self, bucket: &str) -> bool {
        let is_own = |resource: &String| {
            let name = resource.strip_prefix("arn:aws:s3:::").and_then(|name| name.strip_prefix(bucket));
            name.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.resources.iter().all(is_own)
    }
}

/// Reads the JSON of a policy whose size was checked.
pub(super) fn read_json(kind: PolicyKind, text: &str) -> Result<PolicyJson, PolicyError> {
    let words = match kind {
        PolicyKind::Bucket if !text.starts_with('{') => "Policies must be valid JSON and the first byte must be '{'",
        PolicyKind::Bucket | PolicyKind::Trust => "This policy contains invalid Json",
        _ => "Syntax errors in policy.",
    };
    PolicyJson::parse(text).map_err(|error| kind.malformed(&format!("{words} ({error})")))
}
