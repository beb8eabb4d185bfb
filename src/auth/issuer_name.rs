//! The name of an issuer: one `iss`, or a template for those of all tenants of a provider.

use std::sync::Arc;

use super::config::MAX_TENANT_BYTES;
use super::config_error::IssuerProblem;

/// Stands for the tenant in a template, as in the metadata of Microsoft Entra ID.
const PLACEHOLDER: &str = "{tenantid}";

/// Which `iss` are those of an issuer. Every comparison is exact (RFC 7519 section 4.1.1), but for the tenant of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IssuerName {
    Exact(Arc<str>),
    /// What stands before and after the tenant.
    Template {
        before: Arc<str>,
        after: Arc<str>,
    },
}

impl IssuerName {
    /// Reads the name of an issuer. A name with a brace is a template: the tenant must be a whole segment of the path of an `https` URL.
    /// In the host a tenant would be a name that anyone can register.
    pub(super) fn parse(name: &str) -> Result<Self, IssuerProblem> {
        if name.is_empty() {
            return Err(IssuerProblem::NoIssuer);
        }
        if !name.contains(['{', '}']) {
            return Ok(Self::Exact(name.into()));
        }
        let (before, after) = name.split_once(PLACEHOLDER).ok_or(IssuerProblem::BadTemplate)?;
        let path = before.strip_prefix("https://").and_then(|rest| rest.split_once('/')).filter(|(host, _)| !host.is_empty());
        let is_segment = path.is_some() && before.ends_with('/') && (after.is_empty() || after.starts_with('/'));
        match is_segment && !before.contains(['{', '}']) && !after.contains(['{', '}']) {
            true => Ok(Self::Template { before: before.into(), after: after.into() }),
            false => Err(IssuerProblem::BadTemplate),
        }
    }

    /// Whether an `iss` is the issuer's.
    pub(super) fn matches(&self, iss: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *iss,
            Self::Template { .. } => self.tenant(iss).is_some(),
        }
    }

    /// The tenant that an `iss` names: 1 to [`MAX_TENANT_BYTES`] letters, digits and hyphens, and so never more than its segment. `None` if the
    /// issuer has no tenants, or the `iss` is another one's.
    pub(super) fn tenant<'i>(&self, iss: &'i str) -> Option<&'i str> {
        match self {
            Self::Exact(_) => None,
            Self::Template { before, after } => {
                iss.strip_prefix(&**before).and_then(|rest| rest.strip_suffix(&**after)).filter(|tenant| is_tenant(tenant))
            }
        }
    }

    /// Whether some `iss` is the issuer's and the other's as well.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(name), any) | (any, Self::Exact(name)) => any.matches(name),
            (Self::Template { before, after }, Self::Template { before: other_before, after: other_after }) => {
                let (own, other) = (format!("{before}{PLACEHOLDER}{after}"), format!("{other_before}{PLACEHOLDER}{other_after}"));
                let fit = |(one, another): (&str, &str)| {
                    one == another || (one == PLACEHOLDER && is_tenant(another)) || (another == PLACEHOLDER && is_tenant(one))
                };
                own.split('/').count() == other.split('/').count() && own.split('/').zip(other.split('/')).all(fit)
            }
        }
    }

    /// An `iss` that matches, for the login: tenants have users of their own, so the tenant is part of the login.
    pub(super) fn of_token(&self, iss: &str) -> Arc<str> {
        match self {
            Self::Exact(name) => name.clone(),
            Self::Template { .. } => iss.into(),
        }
    }
}

/// Whether a key that names this issuer signs for a tenant: the name has the tenant as a segment, or is a template for all. The rest of it may be
/// that of another version of the provider's tokens, which share keys.
pub(super) fn is_for_tenant(issuer_of_key: &str, tenant: &str) -> bool {
    issuer_of_key.split('/').any(|segment| segment == tenant || segment == PLACEHOLDER)
}

fn is_tenant(text: &str) -> bool {
    let is_tenant_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=MAX_TENANT_BYTES).contains(&text.len()) && text.bytes().all(is_tenant_byte)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ENTRA: &str = "https://login.example.com/{tenantid}/v2.0";

    #[test]
    fn a_template_matches_any_tenant_in_one_segment_and_nothing_else() {
        let entra = IssuerName::parse(ENTRA).unwrap();
        for iss in ["https://login.example.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", "https://login.example.com/x/v2.0"] {
            assert!(entra.matches(iss), "{iss}");
        }
        let long = format!("https://login.example.com/{}/v2.0", "a".repeat(MAX_TENANT_BYTES + 1));
        for iss in [
            "https://login.example.com//v2.0",
            "https://login.example.com/v2.0",
            "https://login.example.com/a/b/v2.0",
            "https://login.example.com/../v2.0",
            "https://login.example.com/a%2Fb/v2.0",
            "https://login.example.com/a?b/v2.0",
            "https://login.example.com/a#/v2.0",
            "https://login.example.com/a/v2.0/",
            "https://login.example.com/a/v2",
            "https://login.example.com.evil.example/a/v2.0",
            "https://evil.example/https://login.example.com/a/v2.0",
            "http://login.example.com/a/v2.0",
            "HTTPS://login.example.com/a/v2.0",
            "https://login.example.com/{tenantid}/v2.0",
            "https://login.example.com/ä/v2.0",
            &long,
        ] {
            assert!(!entra.matches(iss), "{iss}");
        }
        let at_the_end = IssuerName::parse("https://sts.example.net/{tenantid}").unwrap();
        assert!(at_the_end.matches("https://sts.example.net/a") && !at_the_end.matches("https://sts.example.net/a/"));
    }

    #[test]
    fn a_tenant_is_a_whole_segment_of_the_path() {
        for name in [
            "https://{tenantid}.example.com/v2.0",
            "https://{tenantid}/v2.0",
            "https://example.com:{tenantid}/v2.0",
            "https://example.com/t-{tenantid}/v2.0",
            "https://example.com/{tenantid}-t/v2.0",
            "https://example.com/{tenantid}/{tenantid}",
            "https://example.com/{tenant}/v2.0",
            "https://example.com/{TenantId}/v2.0",
            "https://example.com/{tenantid}/{",
            "http://example.com/{tenantid}/v2.0",
            "{tenantid}",
        ] {
            assert_eq!(IssuerName::parse(name), Err(IssuerProblem::BadTemplate), "{name}");
        }
        assert_eq!(IssuerName::parse(""), Err(IssuerProblem::NoIssuer));
        assert!(IssuerName::parse("any name without braces").unwrap().matches("any name without braces"));
    }

    #[test]
    fn a_key_signs_for_the_tenant_that_its_issuer_names() {
        for issuer in ["https://login.example.com/a-1/v2.0", "https://sts.example.com/a-1/", "https://login.example.com/{tenantid}/v2.0"] {
            assert!(is_for_tenant(issuer, "a-1"), "{issuer}");
        }
        for issuer in ["https://login.example.com/b-1/v2.0", "https://login.example.com/a-12/v2.0", "https://login.example.com/v2.0", ""] {
            assert!(!is_for_tenant(issuer, "a-1"), "{issuer}");
        }
    }

    #[test]
    fn a_template_overlaps_the_names_that_it_matches() {
        let (entra, other) = (IssuerName::parse(ENTRA).unwrap(), IssuerName::parse("https://login.example.com/a/v2.0").unwrap());
        assert!(entra.overlaps(&other) && other.overlaps(&entra) && entra.overlaps(&entra));
        assert!(!entra.overlaps(&IssuerName::parse("https://login.example.com/a").unwrap()));
        let overlap = |one: &str, another: &str| {
            let (one, another) = (IssuerName::parse(one).unwrap(), IssuerName::parse(another).unwrap());
            assert_eq!(one.overlaps(&another), another.overlaps(&one));
            one.overlaps(&another)
        };
        assert!(overlap("https://a.example/{tenantid}/v2", "https://a.example/b/{tenantid}"), "https://a.example/b/v2 is of both");
        for other in ["https://a.example/{tenantid}", "https://b.example/{tenantid}/v2", "https://a.example/{tenantid}/v3"] {
            assert!(!overlap("https://a.example/{tenantid}/v2", other), "{other}");
        }
        assert!(!overlap("https://a.example/{tenantid}/v2.0", "https://a.example/b/{tenantid}"), "v2.0 is no tenant");
    }
}
