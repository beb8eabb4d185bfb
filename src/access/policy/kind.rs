//! The kinds of policies and their sizes. Source: "IAM and AWS STS quotas" (IAM User Guide), "Bucket policies" (S3 User Guide), PutBucketPolicy.

use super::error::PolicyError;

/// Characters of any policy as it is sent, white space included: the length of `policyDocument` in the model of IAM. It bounds what is parsed at all.
pub(super) const TEXT_CHARACTERS: usize = 131_072;

/// Where a policy stands, which decides its elements and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    Managed,
    UserInline,
    GroupInline,
    RoleInline,
    /// The policy that a session is made with.
    Session,
    /// Who may assume a role.
    Trust,
    Bucket,
}

/// How much a policy counts against the size of its kind, in characters without white space; of a session's and a bucket's policy white space counts.
/// The inline policies of a user, group or role share one size: their counts are added up by the caller, who knows them.
pub fn counted_size(kind: PolicyKind, text: &str) -> usize {
    match kind {
        PolicyKind::Managed | PolicyKind::UserInline | PolicyKind::GroupInline | PolicyKind::RoleInline | PolicyKind::Trust => {
            text.chars().filter(|c| !c.is_whitespace()).count()
        }
        PolicyKind::Session => text.chars().count(),
        PolicyKind::Bucket => text.len(),
    }
}

impl PolicyKind {
    /// The largest [`counted_size`].
    pub fn max_size(self) -> usize {
        match self {
            PolicyKind::Managed => 6_144,
            PolicyKind::GroupInline => 5_120,
            PolicyKind::RoleInline => 10_240,
            PolicyKind::UserInline | PolicyKind::Session | PolicyKind::Trust => 2_048,
            PolicyKind::Bucket => 20 * 1024,
        }
    }

    /// The error for a size that is over the bound.
    pub fn too_large(self) -> PolicyError {
        let size = self.max_size();
        let inline =
            |owner| PolicyError { code: "LimitExceeded", message: format!("Maximum policy size of {size} bytes exceeded for {owner}") };
        match self {
            PolicyKind::Managed => PolicyError { code: "LimitExceeded", message: format!("Cannot exceed quota for PolicySize: {size}") },
            PolicyKind::Trust => PolicyError { code: "LimitExceeded", message: format!("Cannot exceed quota for ACLSizePerRole: {size}") },
            PolicyKind::UserInline => inline("user"),
            PolicyKind::GroupInline => inline("group"),
            PolicyKind::RoleInline => inline("role"),
            PolicyKind::Session => too_long("policy", size),
            PolicyKind::Bucket => {
                PolicyError { code: "PolicyTooLarge", message: "Policy exceeds the maximum allowed document size.".to_owned() }
            }
        }
    }

    pub(super) fn check_size(self, text: &str) -> Result<(), PolicyError> {
        // UTF-8 has at least as many bytes as characters: what is over the bound in both is not even counted through.
        if text.len() > 4 * TEXT_CHARACTERS || text.chars().count() > TEXT_CHARACTERS {
            return Err(too_long("policyDocument", TEXT_CHARACTERS));
        }
        if counted_size(self, text) > self.max_size() { Err(self.too_large()) } else { Ok(()) }
    }

    /// The error for a policy that is not valid.
    pub(super) fn malformed(self, message: &str) -> PolicyError {
        PolicyError::quoting(if self == PolicyKind::Bucket { "MalformedPolicy" } else { "MalformedPolicyDocument" }, message)
    }

    /// Whether the statements name principals.
    pub(super) fn has_principals(self) -> bool {
        matches!(self, PolicyKind::Trust | PolicyKind::Bucket)
    }
}

fn too_long(parameter: &str, most: usize) -> PolicyError {
    let words = "failed to satisfy constraint: Member must have length less than or equal to";
    PolicyError { code: "ValidationError", message: format!("1 validation error detected: Value at '{parameter}' {words} {most}") }
}
