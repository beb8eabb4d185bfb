//! Which roles a pool's identities get.

use std::collections::BTreeMap;

use serde::Serialize;

use super::context::IdentityContext;
use super::input::{GetRolesInput, RoleMappingShape, RuleShape, RulesShape, SetRolesInput};
use crate::access::Arn;
use crate::aws::call::AwsAnswer;
use crate::aws::error::AwsError;
use crate::aws::json;
use crate::store::{ClaimComparison, PoolRoles, RoleMapping, RoleMappingKind, RoleRule};

/// Rules of one provider, and providers with a mapping ("MappingRulesList", "RoleMappingMap").
const MOST: (usize, usize) = (400, 10);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RolesOutput {
    identity_pool_id: String,
    roles: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    role_mappings: BTreeMap<String, RoleMappingShape>,
}

pub(super) async fn set(context: &IdentityContext<'_>) -> AwsAnswer {
    let input: SetRolesInput = context.input()?;
    let id = input.identity_pool_id.clone();
    context.checked_pool(&id, &input).await?;
    let (rules, mappings) = MOST;
    if let Some(other) = input.roles.keys().find(|kind| !["authenticated", "unauthenticated"].contains(&kind.as_str())) {
        let other: String = other.chars().filter(|c| !c.is_control()).take(64).collect();
        return Err(context.invalid(format!("Roles has the keys authenticated and unauthenticated, not {other}")));
    }
    if input.role_mappings.len() > mappings {
        return Err(context.invalid(format!("RoleMappings has at most {mappings} entries")));
    }
    let named = input.role_mappings.values().flat_map(|mapping| mapping.rules_configuration.iter().flat_map(|rules| &rules.rules));
    if !input.roles.values().chain(named.map(|rule| &rule.role_arn)).all(|arn| is_role(arn)) {
        return Err(context.invalid("A role is named by its ARN, like arn:aws:iam::123456789012:role/name"));
    }
    let mut roles = PoolRoles::default();
    for (provider, shape) in input.role_mappings {
        roles.mappings.insert(provider, mapping(context, shape, rules)?);
    }
    roles.authenticated = input.roles.get("authenticated").cloned();
    roles.unauthenticated = input.roles.get("unauthenticated").cloned();
    context.pool_done(context.services.federation.pools.set_roles(&id, roles).await, &id)?;
    Ok(json::empty_answer(context.call.wire, context.call.id))
}

pub(super) async fn get(context: &IdentityContext<'_>) -> AwsAnswer {
    let input: GetRolesInput = context.input()?;
    let pool = context.checked_pool(&input.identity_pool_id, &input).await?;
    let mut roles = BTreeMap::new();
    roles.extend(pool.roles.authenticated.map(|arn| ("authenticated", arn)));
    roles.extend(pool.roles.unauthenticated.map(|arn| ("unauthenticated", arn)));
    let role_mappings = pool.roles.mappings.into_iter().map(|(provider, mapping)| (provider, shape(mapping))).collect();
    context.output(&RolesOutput { identity_pool_id: pool.id.to_string(), roles, role_mappings })
}

fn is_role(arn: &str) -> bool {
    (20..=2048).contains(&arn.len()) && Arn::parse(arn).is_some_and(|arn| arn.service == "iam" && arn.resource.starts_with("role/"))
}

fn mapping(context: &IdentityContext<'_>, shape: RoleMappingShape, most: usize) -> Result<RoleMapping, AwsError> {
    let kind = match shape.kind.as_str() {
        "Token" => RoleMappingKind::Token,
        "Rules" => RoleMappingKind::Rules,
        _ => return Err(context.invalid("The Type of a role mapping is Token or Rules")),
    };
    let is_denied_otherwise = match shape.ambiguous_role_resolution.as_deref() {
        Some("Deny") => true,
        Some("AuthenticatedRole") => false,
        _ => return Err(context.invalid("AmbiguousRoleResolution must be AuthenticatedRole or Deny")),
    };
    let rules = shape.rules_configuration.map(|rules| rules.rules).unwrap_or_default();
    if (kind == RoleMappingKind::Rules && rules.is_empty()) || rules.len() > most {
        return Err(context.invalid(format!("A role mapping of the type Rules has 1 to {most} rules")));
    }
    let rule = |rule: RuleShape| {
        let comparison = match rule.match_type.as_str() {
            "Equals" => ClaimComparison::Equals,
            "Contains" => ClaimComparison::Contains,
            "StartsWith" => ClaimComparison::StartsWith,
            "NotEqual" => ClaimComparison::NotEqual,
            _ => return Err(context.invalid("MatchType must be Equals, Contains, StartsWith or NotEqual")),
        };
        if !(1..=64).contains(&rule.claim.chars().count()) || !(1..=128).contains(&rule.value.chars().count()) {
            return Err(context.invalid("A rule's Claim has 1 to 64 characters and its Value 1 to 128"));
        }
        Ok(RoleRule { claim: rule.claim, comparison, value: rule.value, role: rule.role_arn })
    };
    Ok(RoleMapping { kind, is_denied_otherwise, rules: rules.into_iter().map(rule).collect::<Result<_, _>>()? })
}

fn shape(mapping: RoleMapping) -> RoleMappingShape {
    let rule = |rule: RoleRule| RuleShape {
        claim: rule.claim,
        match_type: match rule.comparison {
            ClaimComparison::Equals => "Equals",
            ClaimComparison::Contains => "Contains",
            ClaimComparison::StartsWith => "StartsWith",
            ClaimComparison::NotEqual => "NotEqual",
        }
        .to_owned(),
        value: rule.value,
        role_arn: rule.role,
    };
    RoleMappingShape {
        kind: match mapping.kind {
            RoleMappingKind::Token => "Token",
            RoleMappingKind::Rules => "Rules",
        }
        .to_owned(),
        ambiguous_role_resolution: Some(if mapping.is_denied_otherwise { "Deny" } else { "AuthenticatedRole" }.to_owned()),
        rules_configuration: (!mapping.rules.is_empty()).then(|| RulesShape { rules: mapping.rules.into_iter().map(rule).collect() }),
    }
}
