//! Which role an identity's credentials are of: pure. Source: "Role-based access control" (Amazon Cognito Developer Guide).

use serde_json::{Map, Value};

use crate::store::{ClaimComparison, PoolRoles, RoleMapping, RoleMappingKind, RoleRule};

/// A login that was proved, as rules see it.
#[derive(Clone, Debug)]
pub struct ProvedClaims<'a> {
    /// The name of the provider as the pool's mappings have it.
    pub provider: &'a str,
    pub claims: &'a Map<String, Value>,
}

/// Why there is no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRole {
    /// The pool has none for this.
    NotConfigured,
    /// The mapping says that who fits no role gets none, or the role that was asked for is not the person's.
    Denied,
}

/// The role of an identity. `logins` are those that were proved, empty for a guest; `wanted` is the role that the caller asks for among its own.
pub fn choose(roles: &PoolRoles, logins: &[ProvedClaims<'_>], wanted: Option<&str>) -> Result<String, NoRole> {
    if logins.is_empty() {
        return match wanted {
            Some(_) => Err(NoRole::Denied),
            None => roles.unauthenticated.clone().ok_or(NoRole::NotConfigured),
        };
    }
    let usual = || roles.authenticated.clone().ok_or(NoRole::NotConfigured);
    let mapped = logins.iter().find_map(|login| roles.mappings.get(login.provider).map(|mapping| (mapping, login)));
    let Some((mapping, login)) = mapped else { return if wanted.is_some() { Err(NoRole::Denied) } else { usual() } };
    match (by_mapping(mapping, login.claims, wanted), wanted) {
        (Some(role), _) => Ok(role),
        (None, Some(_)) => Err(NoRole::Denied),
        (None, None) if mapping.is_denied_otherwise => Err(NoRole::Denied),
        (None, None) => usual(),
    }
}

fn by_mapping(mapping: &RoleMapping, claims: &Map<String, Value>, wanted: Option<&str>) -> Option<String> {
    match mapping.kind {
        RoleMappingKind::Token => {
            let own = texts(claims.get("cognito:roles"));
            match wanted {
                Some(wanted) => own.iter().find(|role| *role == wanted).cloned(),
                None => match texts(claims.get("cognito:preferred_role")).pop() {
                    Some(preferred) => Some(preferred),
                    // Several without a preferred one are ambiguous.
                    None if own.len() == 1 => own.into_iter().next(),
                    None => None,
                },
            }
        }
        RoleMappingKind::Rules => {
            let fits = |rule: &&RoleRule| is_met(rule, claims);
            match wanted {
                Some(wanted) => mapping.rules.iter().filter(fits).map(|rule| rule.role.clone()).find(|role| role == wanted),
                None => mapping.rules.iter().find(fits).map(|rule| rule.role.clone()),
            }
        }
    }
}

/// A claim with several values fits if one of them does; with `NotEqual`, if none of them is equal. A claim that is not there fits nothing.
fn is_met(rule: &RoleRule, claims: &Map<String, Value>) -> bool {
    let values = texts(claims.get(&rule.claim));
    let value = rule.value.as_str();
    match rule.comparison {
        ClaimComparison::Equals => values.iter().any(|text| text == value),
        ClaimComparison::Contains => values.iter().any(|text| text.contains(value)),
        ClaimComparison::StartsWith => values.iter().any(|text| text.starts_with(value)),
        ClaimComparison::NotEqual => !values.is_empty() && values.iter().all(|text| text != value),
    }
}

/// The texts of a claim: numbers and truth values are compared as they are written.
fn texts(claim: Option<&Value>) -> Vec<String> {
    match claim {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items.iter().flat_map(|item| if item.is_array() { Vec::new() } else { texts(Some(item)) }).collect(),
        Some(Value::Bool(value)) => vec![value.to_string()],
        Some(Value::Number(value)) => vec![value.to_string()],
        Some(Value::Null | Value::Object(_)) | None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn roles(mapping: Option<RoleMapping>) -> PoolRoles {
        let mappings: BTreeMap<_, _> = mapping.map(|mapping| ("idp".to_owned(), mapping)).into_iter().collect();
        PoolRoles { authenticated: Some("in".to_owned()), unauthenticated: Some("guest".to_owned()), mappings }
    }

    fn chosen(roles: &PoolRoles, claims: Value, wanted: Option<&str>) -> Result<String, NoRole> {
        let claims = claims.as_object().expect("an object").clone();
        choose(roles, &[ProvedClaims { provider: "idp", claims: &claims }], wanted)
    }

    fn rule(claim: &str, comparison: ClaimComparison, value: &str, role: &str) -> RoleRule {
        RoleRule { claim: claim.to_owned(), comparison, value: value.to_owned(), role: role.to_owned() }
    }

    #[test]
    fn guests_and_those_signed_in_have_the_pools_roles() {
        let plain = roles(None);
        assert_eq!(choose(&plain, &[], None).as_deref(), Ok("guest"));
        assert_eq!(choose(&plain, &[], Some("in")), Err(NoRole::Denied));
        assert_eq!(chosen(&plain, json!({}), None).as_deref(), Ok("in"));
        assert_eq!(chosen(&plain, json!({}), Some("in")), Err(NoRole::Denied));
        assert_eq!(choose(&PoolRoles::default(), &[], None), Err(NoRole::NotConfigured));
    }

    #[test]
    fn a_token_names_its_preferred_role_or_its_only_one() {
        let mapping = |is_denied_otherwise| RoleMapping { kind: RoleMappingKind::Token, is_denied_otherwise, rules: Vec::new() };
        let (open, strict) = (roles(Some(mapping(false))), roles(Some(mapping(true))));
        let both = json!({ "cognito:roles": ["a", "b"], "cognito:preferred_role": "b" });
        assert_eq!(chosen(&open, both.clone(), None).as_deref(), Ok("b"));
        assert_eq!(chosen(&open, both.clone(), Some("a")).as_deref(), Ok("a"));
        assert_eq!(chosen(&open, both, Some("c")), Err(NoRole::Denied));
        assert_eq!(chosen(&open, json!({ "cognito:roles": ["a"] }), None).as_deref(), Ok("a"));
        let several = json!({ "cognito:roles": ["a", "b"] });
        assert_eq!((chosen(&open, several.clone(), None).as_deref(), chosen(&strict, several, None)), (Ok("in"), Err(NoRole::Denied)));
        assert_eq!((chosen(&open, json!({}), None).as_deref(), chosen(&strict, json!({}), None)), (Ok("in"), Err(NoRole::Denied)));
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = vec![
            rule("team", ClaimComparison::Equals, "blue", "r1"),
            rule("mail", ClaimComparison::Contains, "@a.", "r2"),
            rule("n", ClaimComparison::StartsWith, "12", "r3"),
            rule("level", ClaimComparison::NotEqual, "low", "r4"),
        ];
        let roles = roles(Some(RoleMapping { kind: RoleMappingKind::Rules, is_denied_otherwise: true, rules }));
        for (claims, role) in [
            (json!({ "team": "blue", "mail": "x@a.b" }), Ok("r1")),
            (json!({ "team": ["red", "blue"] }), Ok("r1")),
            (json!({ "mail": "x@a.b" }), Ok("r2")),
            (json!({ "n": 123 }), Ok("r3")),
            (json!({ "level": "high" }), Ok("r4")),
            (json!({ "level": "low" }), Err(NoRole::Denied)),
            (json!({ "level": ["high", "low"] }), Err(NoRole::Denied)),
            (json!({ "team": { "blue": "blue" } }), Err(NoRole::Denied)),
            (json!({}), Err(NoRole::Denied)),
        ] {
            assert_eq!(chosen(&roles, claims.clone(), None).as_deref().map_err(|why| *why), role, "{claims}");
        }
        assert_eq!(chosen(&roles, json!({ "team": "blue", "mail": "x@a.b" }), Some("r2")).as_deref(), Ok("r2"));
        assert_eq!(chosen(&roles, json!({ "team": "blue" }), Some("r2")), Err(NoRole::Denied));
    }
}
