//! What the operations take: the shapes of the service's model, and what each operation asks about.
//! Source of actions and resources: "Actions, resources, and condition keys for Amazon Cognito Identity" (Service Authorization Reference).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::access::{AccessOperation, ArnScope, OperationAsk, OperationPolicy};

/// The ARN of an identity pool.
fn pool_arn(id: &str, scope: &ArnScope) -> String {
    format!("arn:aws:cognito-identity:{}:{}:identitypool/{id}", scope.region, scope.account)
}

/// The operations of people who are not signed in to AWS: their tokens, and the pool's roles, decide.
macro_rules! public_input {
    ($($input:ty),* $(,)?) => {
        $(impl AccessOperation for $input {
            const POLICY: OperationPolicy<Self> = OperationPolicy::NotAsked("a public API: logins and the pool decide");
        })*
    };
}

macro_rules! pool_input {
    ($($input:ty => $action:literal),* $(,)?) => {
        $(impl AccessOperation for $input {
            const POLICY: OperationPolicy<Self> = OperationPolicy::Asked(OperationAsk {
                action: $action,
                resource: |input, scope| pool_arn(&input.identity_pool_id, scope),
                keys: |_, _| {},
            });
        })*
    };
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetIdInput {
    pub identity_pool_id: String,
    #[serde(default)]
    pub logins: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CredentialsInput {
    pub identity_id: String,
    #[serde(default)]
    pub logins: BTreeMap<String, String>,
    pub custom_role_arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UnlinkInput {
    pub identity_id: String,
    pub logins: BTreeMap<String, String>,
    pub logins_to_remove: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OpenIdTokenInput {
    pub identity_id: String,
    #[serde(default)]
    pub logins: BTreeMap<String, String>,
}

public_input!(GetIdInput, CredentialsInput, UnlinkInput, OpenIdTokenInput);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeIdentityInput {
    pub identity_id: String,
}

/// An identity whose pool is known.
pub(super) struct DescribedIdentity {
    pub identity_pool_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribePoolInput {
    pub identity_pool_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeletePoolInput {
    pub identity_pool_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetRolesInput {
    pub identity_pool_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetRolesInput {
    pub identity_pool_id: String,
    pub roles: BTreeMap<String, String>,
    #[serde(default)]
    pub role_mappings: BTreeMap<String, RoleMappingShape>,
}

/// `RoleMapping`
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RoleMappingShape {
    #[serde(rename = "Type")]
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ambiguous_role_resolution: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules_configuration: Option<RulesShape>,
}

/// `RulesConfigurationType`
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RulesShape {
    pub rules: Vec<RuleShape>,
}

/// `MappingRule`
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RuleShape {
    pub claim: String,
    pub match_type: String,
    pub value: String,
    #[serde(rename = "RoleARN")]
    pub role_arn: String,
}

/// `IdentityPool`: what CreateIdentityPool and UpdateIdentityPool take, and what they and DescribeIdentityPool give.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PoolShape {
    #[serde(default)]
    pub identity_pool_id: String,
    pub identity_pool_name: String,
    pub allow_unauthenticated_identities: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_classic_flow: Option<bool>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub supported_login_providers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub developer_provider_name: Option<String>,
    #[serde(default, rename = "OpenIdConnectProviderARNs", skip_serializing_if = "Vec::is_empty")]
    pub open_id_connect_provider_arns: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cognito_identity_providers: Vec<UserPoolShape>,
    #[serde(default, rename = "SamlProviderARNs", skip_serializing_if = "Vec::is_empty")]
    pub saml_provider_arns: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub identity_pool_tags: BTreeMap<String, String>,
}

/// `CognitoIdentityProvider`
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UserPoolShape {
    pub provider_name: String,
    pub client_id: String,
    #[serde(default)]
    pub server_side_token_check: bool,
}

/// CreateIdentityPool, whose pool has no id yet.
pub(super) struct CreatedPool;

/// UpdateIdentityPool.
pub(super) struct UpdatedPool {
    pub identity_pool_id: String,
}

pool_input! {
    DescribedIdentity => "cognito-identity:DescribeIdentity",
    DescribePoolInput => "cognito-identity:DescribeIdentityPool",
    DeletePoolInput => "cognito-identity:DeleteIdentityPool",
    UpdatedPool => "cognito-identity:UpdateIdentityPool",
    GetRolesInput => "cognito-identity:GetIdentityPoolRoles",
    SetRolesInput => "cognito-identity:SetIdentityPoolRoles",
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListPoolsInput {
    pub max_results: i64,
    pub next_token: Option<String>,
}

macro_rules! account_input {
    ($($input:ty => $action:literal),* $(,)?) => {
        $(impl AccessOperation for $input {
            const POLICY: OperationPolicy<Self> =
                OperationPolicy::Asked(OperationAsk { action: $action, resource: |_, _| "*".to_owned(), keys: |_, _| {} });
        })*
    };
}

account_input! {
    CreatedPool => "cognito-identity:CreateIdentityPool",
    ListPoolsInput => "cognito-identity:ListIdentityPools",
}
