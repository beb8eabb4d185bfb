//! CreateUserPool, DescribeUserPool, DeleteUserPool, ListUserPools.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::faults::fault;
use super::pool_shape::shape;
use super::requests::{answered, check_pool, done, pool_arn, read};
use crate::access::{AccessOperation, ArnScope, OperationAsk, OperationPolicy};
use crate::aws::call::{AwsAnswer, AwsCall};
use crate::aws::error::AwsError;
use crate::aws::services::AwsServices;
use crate::aws::timestamp::EpochSeconds;
use crate::store::{CustomAttribute, CustomKind, PasswordDemands, UserPoolId, UserPoolSettings, UsernameKind};
use crate::users::{MAX_CUSTOM_NAME_CHARS, MOST_CUSTOM, NewUserPool, STANDARD, UserFault};

/// Tags of a pool, as at AWS.
const MOST_TAGS: usize = 50;

/// Characters of a message's subject and text: EmailVerificationSubjectType, EmailVerificationMessageType of the service's model.
const MAX_SUBJECT_CHARS: usize = 140;
const MAX_MESSAGE_CHARS: usize = 20_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateUserPoolInput {
    pool_name: String,
    #[serde(default)]
    policies: Policies,
    #[serde(default)]
    alias_attributes: Vec<String>,
    #[serde(default)]
    username_attributes: Vec<String>,
    #[serde(default)]
    auto_verified_attributes: Vec<String>,
    #[serde(default)]
    username_configuration: UsernameConfiguration,
    #[serde(default)]
    admin_create_user_config: AdminCreateUserConfig,
    #[serde(default)]
    schema: Vec<SchemaAttribute>,
    email_verification_message: Option<String>,
    email_verification_subject: Option<String>,
    verification_message_template: Option<MessageTemplate>,
    #[serde(default)]
    deletion_protection: String,
    #[serde(default)]
    user_pool_tags: BTreeMap<String, String>,
    mfa_configuration: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Policies {
    password_policy: Option<PasswordPolicyShape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PasswordPolicyShape {
    minimum_length: Option<u8>,
    #[serde(default)]
    require_uppercase: bool,
    #[serde(default)]
    require_lowercase: bool,
    #[serde(default)]
    require_numbers: bool,
    #[serde(default)]
    require_symbols: bool,
    temporary_password_validity_days: Option<u16>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UsernameConfiguration {
    case_sensitive: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AdminCreateUserConfig {
    #[serde(default)]
    allow_admin_create_user_only: bool,
    invite_message_template: Option<InviteTemplate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InviteTemplate {
    email_message: Option<String>,
    email_subject: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MessageTemplate {
    email_message: Option<String>,
    email_subject: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SchemaAttribute {
    name: String,
    #[serde(default)]
    attribute_data_type: String,
    mutable: Option<bool>,
    #[serde(default)]
    required: bool,
    string_attribute_constraints: Option<Bounds>,
    number_attribute_constraints: Option<Bounds>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Bounds {
    #[serde(alias = "MinLength")]
    min_value: Option<String>,
    #[serde(alias = "MaxLength")]
    max_value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PoolInput {
    user_pool_id: String,
}

struct DeleteUserPoolInput(PoolInput);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListUserPoolsInput {
    max_results: usize,
    next_token: Option<String>,
}

impl AccessOperation for CreateUserPoolInput {
    const POLICY: OperationPolicy<CreateUserPoolInput> =
        OperationPolicy::Asked(OperationAsk { action: "cognito-idp:CreateUserPool", resource: |_, _| "*".to_owned(), keys: |_, _| () });
}

impl AccessOperation for ListUserPoolsInput {
    const POLICY: OperationPolicy<ListUserPoolsInput> =
        OperationPolicy::Asked(OperationAsk { action: "cognito-idp:ListUserPools", resource: |_, _| "*".to_owned(), keys: |_, _| () });
}

impl AccessOperation for PoolInput {
    const POLICY: OperationPolicy<PoolInput> = OperationPolicy::Asked(OperationAsk {
        action: "cognito-idp:DescribeUserPool",
        resource: |input, scope| pool_arn(&input.user_pool_id, scope),
        keys: |_, _| (),
    });
}

impl AccessOperation for DeleteUserPoolInput {
    const POLICY: OperationPolicy<DeleteUserPoolInput> = OperationPolicy::Asked(OperationAsk {
        action: "cognito-idp:DeleteUserPool",
        resource: |input, scope| pool_arn(&input.0.user_pool_id, scope),
        keys: |_, _| (),
    });
}

/// The caller's own account: pools are made and listed there.
fn own_scope(services: &AwsServices, call: &AwsCall) -> Result<ArnScope, AwsError> {
    let account = call.signed()?.account().ok_or_else(|| AwsError::access_denied(call.wire, "The caller has no account"))?;
    Ok(ArnScope { region: services.region.clone(), account: account.clone() })
}

pub(super) async fn create(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: CreateUserPoolInput = read(body)?;
    let scope = own_scope(services, call)?;
    call.check(services.accounts(), &input, &scope).await?;
    let new = new_pool(input).map_err(|why| fault(call.wire, why))?;
    let (id, pool) = services.user_pools.create_pool(&scope.account, new).await.map_err(|why| fault(call.wire, why))?;
    answered(call, &json!({ "UserPool": shape(&id, &pool) }))
}

pub(super) async fn describe(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: PoolInput = read(body)?;
    check_pool(services, call, &input, &input.user_pool_id).await?;
    let (id, pool) = services.user_pools.pool(&input.user_pool_id).await.map_err(|why| fault(call.wire, why))?;
    answered(call, &json!({ "UserPool": shape(&id, &pool) }))
}

pub(super) async fn delete(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input = DeleteUserPoolInput(read(body)?);
    check_pool(services, call, &input, &input.0.user_pool_id).await?;
    services.user_pools.delete_pool(&input.0.user_pool_id).await.map_err(|why| fault(call.wire, why))?;
    done(call)
}

pub(super) async fn list(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: ListUserPoolsInput = read(body)?;
    let scope = own_scope(services, call)?;
    call.check(services.accounts(), &input, &scope).await?;
    let of = |why: UserFault| fault(call.wire, why);
    let after = input.next_token.as_deref().map(|token| UserPoolId::parse(token).ok_or_else(|| UserFault::parameter("Invalid NextToken")));
    let after = after.transpose().map_err(of)?;
    let (pools, next) = services.user_pools.list_pools(&scope.account, after, input.max_results.clamp(1, 60)).await.map_err(of)?;
    let pools: Vec<Value> = pools
        .iter()
        .map(|(id, pool)| {
            json!({
                "Id": id.as_str(), "Name": pool.name, "LambdaConfig": {},
                "LastModifiedDate": EpochSeconds::from_ms(pool.changed_ms), "CreationDate": EpochSeconds::from_ms(pool.made_ms),
            })
        })
        .collect();
    let mut answer = json!({ "UserPools": pools });
    if let Some(next) = next {
        answer["NextToken"] = next.as_str().into();
    }
    answered(call, &answer)
}

fn new_pool(input: CreateUserPoolInput) -> Result<NewUserPool, UserFault> {
    check_name(&input.pool_name)?;
    refuse_others(&input.others)?;
    if input.mfa_configuration.is_some_and(|mfa| mfa != "OFF") {
        return Err(UserFault::parameter("MfaConfiguration has to be OFF: this server has no second factors"));
    }
    const NAMES: [&str; 3] = ["email", "phone_number", "preferred_username"];
    let lists = [&input.alias_attributes, &input.username_attributes, &input.auto_verified_attributes];
    if lists.iter().any(|list| list.len() > NAMES.len() || list.iter().any(|name| !NAMES.contains(&name.as_str()))) {
        return Err(UserFault::parameter("An attribute of AliasAttributes, UsernameAttributes or AutoVerifiedAttributes is none of them"));
    }
    if !input.alias_attributes.is_empty() && !input.username_attributes.is_empty() {
        return Err(UserFault::parameter("Only one of the aliasAttributes or usernameAttributes can be set in a user pool."));
    }
    let has = |list: &[String], name: &str| list.iter().any(|one| one == name);
    let usernames = match input.username_attributes.is_empty() {
        true => UsernameKind::Chosen,
        false => UsernameKind::Attribute {
            email: has(&input.username_attributes, "email"),
            phone: has(&input.username_attributes, "phone_number"),
        },
    };
    let (required, custom) = schema(&input.schema)?;
    let template = input.verification_message_template;
    let (subject, message) = template.map_or((None, None), |template| (template.email_subject, template.email_message));
    let invite = input.admin_create_user_config.invite_message_template;
    let (invite_subject, invite_message) = invite.map_or((None, None), |template| (template.email_subject, template.email_message));
    let settings = UserPoolSettings {
        password: demands(input.policies.password_policy)?,
        usernames,
        aliases: input.alias_attributes,
        auto_verified: input.auto_verified_attributes,
        case_sensitive: input.username_configuration.case_sensitive.unwrap_or(true),
        admin_only: input.admin_create_user_config.allow_admin_create_user_only,
        required,
        custom,
        email_subject: input.email_verification_subject.or(subject),
        email_message: input.email_verification_message.or(message),
        invite_subject,
        invite_message,
        protected: input.deletion_protection == "ACTIVE",
        tags: input.user_pool_tags,
    };
    check_texts(&settings)?;
    Ok(NewUserPool { name: input.pool_name, settings })
}

/// UserPoolNameType of the service's model.
pub(super) fn check_name(name: &str) -> Result<(), UserFault> {
    const MAX_CHARS: usize = 128;
    let is_name = (1..=4 * MAX_CHARS).contains(&name.len())
        && name.chars().count() <= MAX_CHARS
        && name.chars().all(|one| one.is_alphanumeric() || one.is_whitespace() || "_+=,.@-".contains(one));
    if is_name { Ok(()) } else { Err(UserFault::parameter("The name has 1 to 128 letters, digits, spaces and _+=,.@-")) }
}

/// What is asked for and not there is refused, so that nobody relies on it.
fn refuse_others(others: &Map<String, Value>) -> Result<(), UserFault> {
    let is_nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(values) => values.is_empty(),
        _ => false,
    };
    for (name, value) in others {
        let is_default = match name.as_str() {
            "EmailConfiguration" => {
                value.get("EmailSendingAccount").and_then(Value::as_str).is_none_or(|account| account == "COGNITO_DEFAULT")
            }
            "AccountRecoverySetting" | "UserPoolTier" | "SmsConfiguration" => true,
            "UserPoolAddOns" => value.get("AdvancedSecurityMode").and_then(Value::as_str) == Some("OFF"),
            _ => is_nothing(value),
        };
        if !is_default {
            let name: String = name.chars().filter(|one| one.is_ascii_alphanumeric()).take(64).collect();
            return Err(UserFault::Parameter(format!("This server has no {name}")));
        }
    }
    Ok(())
}

fn demands(shape: Option<PasswordPolicyShape>) -> Result<PasswordDemands, UserFault> {
    let Some(shape) = shape else {
        return Ok(PasswordDemands {
            minimum_length: 8,
            uppercase: true,
            lowercase: true,
            numbers: true,
            symbols: true,
            temporary_days: 7,
        });
    };
    let minimum_length = shape.minimum_length.unwrap_or(8);
    if crate::users::proof::PasswordPolicy::of_length(minimum_length).is_none() {
        return Err(UserFault::parameter("MinimumLength has to be from 6 to 99"));
    }
    let temporary_days = shape.temporary_password_validity_days.unwrap_or(7);
    if temporary_days > 365 {
        return Err(UserFault::parameter("TemporaryPasswordValidityDays has to be from 0 to 365"));
    }
    Ok(PasswordDemands {
        minimum_length,
        uppercase: shape.require_uppercase,
        lowercase: shape.require_lowercase,
        numbers: shape.require_numbers,
        symbols: shape.require_symbols,
        temporary_days: if temporary_days == 0 { 7 } else { temporary_days },
    })
}

fn schema(shapes: &[SchemaAttribute]) -> Result<(Vec<String>, Vec<CustomAttribute>), UserFault> {
    let (mut required, mut custom) = (Vec::new(), Vec::new());
    if shapes.len() > MOST_CUSTOM {
        return Err(UserFault::parameter("Schema has more than 50 attributes"));
    }
    for shape in shapes {
        let bound = |bounds: &Option<Bounds>, of: fn(&Bounds) -> &Option<String>| -> Result<Option<i64>, UserFault> {
            let text = bounds.as_ref().and_then(|bounds| of(bounds).as_ref());
            text.map(|text| text.parse().map_err(|_| UserFault::parameter("A bound of an attribute is no number"))).transpose()
        };
        if STANDARD.contains(&shape.name.as_str()) || shape.name == "sub" {
            if shape.required {
                required.push(shape.name.clone());
            }
            continue;
        }
        let is_name = (1..=MAX_CUSTOM_NAME_CHARS).contains(&shape.name.len()) && shape.name.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_name || shape.required {
            return Err(UserFault::parameter("A custom attribute has a name of 1 to 20 characters and is not required"));
        }
        let text = &shape.string_attribute_constraints;
        let number = &shape.number_attribute_constraints;
        let kind = match shape.attribute_data_type.as_str() {
            "Number" => CustomKind::Number { min: bound(number, |one| &one.min_value)?, max: bound(number, |one| &one.max_value)? },
            "Boolean" => CustomKind::Boolean,
            "DateTime" => CustomKind::DateTime,
            "String" | "" => {
                let length = |of: Option<i64>, default: u32| of.map_or(default, |of| u32::try_from(of.clamp(0, 2048)).unwrap_or(default));
                CustomKind::Text {
                    min: length(bound(text, |one| &one.min_value)?, 0),
                    max: length(bound(text, |one| &one.max_value)?, 2048),
                }
            }
            _ => return Err(UserFault::parameter("AttributeDataType is none of String, Number, DateTime, Boolean")),
        };
        custom.push(CustomAttribute { name: format!("custom:{}", shape.name), kind, mutable: shape.mutable.unwrap_or(true) });
    }
    Ok((required, custom))
}

fn check_texts(settings: &UserPoolSettings) -> Result<(), UserFault> {
    let is_within = |text: &Option<String>, most: usize| text.as_ref().is_none_or(|text| text.chars().count() <= most);
    let is_line = |text: &Option<String>| text.as_ref().is_none_or(|text| !text.chars().any(char::is_control));
    let has_code = |text: &Option<String>| text.as_ref().is_none_or(|text| text.contains("{####}"));
    let subjects = [&settings.email_subject, &settings.invite_subject];
    let messages = [&settings.email_message, &settings.invite_message];
    if subjects.iter().any(|text| !is_within(text, MAX_SUBJECT_CHARS) || !is_line(text)) {
        return Err(UserFault::parameter("A subject has at most 140 characters, none of them a control character"));
    }
    if messages.iter().any(|text| !is_within(text, MAX_MESSAGE_CHARS) || !has_code(text)) {
        return Err(UserFault::parameter("A message has at most 20,000 characters and {####} in it"));
    }
    let is_tag = |(key, value): (&String, &String)| (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256;
    if settings.tags.len() > MOST_TAGS || !settings.tags.iter().all(is_tag) {
        return Err(UserFault::parameter("A pool has at most 50 tags of 128 and 256 characters"));
    }
    Ok(())
}
