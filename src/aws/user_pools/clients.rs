//! CreateUserPoolClient, DescribeUserPoolClient, DeleteUserPoolClient, ListUserPoolClients.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::faults::fault;
use super::pools::check_name;
use super::requests::{answered, check_pool, done, pool_arn, read};
use crate::access::{AccessOperation, OperationAsk, OperationPolicy};
use crate::aws::call::{AwsAnswer, AwsCall};
use crate::aws::services::AwsServices;
use crate::aws::timestamp::EpochSeconds;
use crate::store::{TokenUnit, UserPoolClient};
use crate::users::{ClientCall, ClientSecretChoice, NewClient, UserFault};

const MINUTE_S: u64 = 60;
const DAY_S: u64 = 24 * 3600;

/// The ways to sign in of the service's model that a client may name.
const FLOWS: [&str; 8] = [
    "ADMIN_NO_SRP_AUTH",
    "USER_PASSWORD_AUTH",
    "ALLOW_ADMIN_USER_PASSWORD_AUTH",
    "ALLOW_CUSTOM_AUTH",
    "ALLOW_USER_PASSWORD_AUTH",
    "ALLOW_USER_SRP_AUTH",
    "ALLOW_REFRESH_TOKEN_AUTH",
    "ALLOW_USER_AUTH",
];

/// Attributes that a client names as readable or writable.
const MOST_NAMES: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateClientInput {
    user_pool_id: String,
    client_name: String,
    #[serde(default)]
    generate_secret: bool,
    refresh_token_validity: Option<u64>,
    access_token_validity: Option<u64>,
    id_token_validity: Option<u64>,
    #[serde(default)]
    token_validity_units: Units,
    #[serde(default)]
    read_attributes: Vec<String>,
    #[serde(default)]
    write_attributes: Vec<String>,
    #[serde(default)]
    explicit_auth_flows: Vec<String>,
    #[serde(default)]
    supported_identity_providers: Vec<String>,
    prevent_user_existence_errors: Option<String>,
    auth_session_validity: Option<u8>,
    refresh_token_rotation: Option<Rotation>,
    enable_token_revocation: Option<bool>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Units {
    access_token: Option<String>,
    id_token: Option<String>,
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rotation {
    feature: String,
    retry_grace_period_seconds: Option<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ClientInput {
    user_pool_id: String,
    client_id: String,
}

struct DeleteClientInput(ClientInput);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListClientsInput {
    user_pool_id: String,
    max_results: Option<usize>,
    next_token: Option<String>,
}

impl AccessOperation for CreateClientInput {
    const POLICY: OperationPolicy<CreateClientInput> = OperationPolicy::Asked(OperationAsk {
        action: "cognito-idp:CreateUserPoolClient",
        resource: |input, scope| pool_arn(&input.user_pool_id, scope),
        keys: |_, _| (),
    });
}

impl AccessOperation for ClientInput {
    const POLICY: OperationPolicy<ClientInput> = OperationPolicy::Asked(OperationAsk {
        action: "cognito-idp:DescribeUserPoolClient",
        resource: |input, scope| pool_arn(&input.user_pool_id, scope),
        keys: |_, _| (),
    });
}

impl AccessOperation for DeleteClientInput {
    const POLICY: OperationPolicy<DeleteClientInput> = OperationPolicy::Asked(OperationAsk {
        action: "cognito-idp:DeleteUserPoolClient",
        resource: |input, scope| pool_arn(&input.0.user_pool_id, scope),
        keys: |_, _| (),
    });
}

impl AccessOperation for ListClientsInput {
    const POLICY: OperationPolicy<ListClientsInput> = OperationPolicy::Asked(OperationAsk {
        action: "cognito-idp:ListUserPoolClients",
        resource: |input, scope| pool_arn(&input.user_pool_id, scope),
        keys: |_, _| (),
    });
}

pub(super) async fn create(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: CreateClientInput = read(body)?;
    check_pool(services, call, &input, &input.user_pool_id).await?;
    let of = |why: UserFault| fault(call.wire, why);
    let (pool, _) = services.user_pools.pool(&input.user_pool_id).await.map_err(of)?;
    let new = new_client(input).map_err(of)?;
    let client = services.user_pools.create_client(&pool, new).await.map_err(of)?;
    answered(call, &json!({ "UserPoolClient": shape(&client) }))
}

pub(super) async fn describe(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: ClientInput = read(body)?;
    check_pool(services, call, &input, &input.user_pool_id).await?;
    let client = services.user_pools.client_of(&input.user_pool_id, &input.client_id).await.map_err(|why| fault(call.wire, why))?;
    answered(call, &json!({ "UserPoolClient": shape(&client) }))
}

pub(super) async fn delete(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input = DeleteClientInput(read(body)?);
    check_pool(services, call, &input, &input.0.user_pool_id).await?;
    let of = |why: UserFault| fault(call.wire, why);
    let (pool, _) = services.user_pools.pool(&input.0.user_pool_id).await.map_err(of)?;
    services.user_pools.delete_client(&pool, &input.0.client_id).await.map_err(of)?;
    done(call)
}

pub(super) async fn list(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: ListClientsInput = read(body)?;
    check_pool(services, call, &input, &input.user_pool_id).await?;
    let of = |why: UserFault| fault(call.wire, why);
    let (pool, _) = services.user_pools.pool(&input.user_pool_id).await.map_err(of)?;
    let limit = input.max_results.unwrap_or(60).clamp(1, 60);
    let after = input.next_token.filter(|token| token.len() <= 128);
    let clients = services.user_pools.list_clients(&pool, after, limit).await.map_err(of)?;
    let shapes: Vec<Value> =
        clients.iter().map(|(id, client)| json!({ "ClientId": id, "UserPoolId": pool.as_str(), "ClientName": client.name })).collect();
    let mut answer = json!({ "UserPoolClients": shapes });
    if let Some((last, _)) = clients.last().filter(|_| clients.len() == limit) {
        answer["NextToken"] = last.as_str().into();
    }
    answered(call, &answer)
}

fn new_client(input: CreateClientInput) -> Result<NewClient, UserFault> {
    check_name(&input.client_name)?;
    let is_nothing = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    if let Some((name, _)) = input.others.iter().find(|(_, value)| !is_nothing(value)) {
        let name: String = name.chars().filter(|one| one.is_ascii_alphanumeric()).take(64).collect();
        return Err(UserFault::Parameter(format!("This server has no {name}")));
    }
    if input.supported_identity_providers.iter().any(|provider| provider != "COGNITO") {
        return Err(UserFault::parameter("SupportedIdentityProviders: this server has no provider but COGNITO"));
    }
    if input.enable_token_revocation == Some(false) {
        return Err(UserFault::parameter("EnableTokenRevocation is always on"));
    }
    if input.explicit_auth_flows.iter().any(|flow| !FLOWS.contains(&flow.as_str())) || input.explicit_auth_flows.len() > FLOWS.len() {
        return Err(UserFault::parameter("ExplicitAuthFlows has a flow that this server does not know"));
    }
    if input.read_attributes.len().max(input.write_attributes.len()) > MOST_NAMES
        || input.read_attributes.iter().chain(&input.write_attributes).any(|name| name.len() > 64)
    {
        return Err(UserFault::parameter("ReadAttributes or WriteAttributes has too many or too long names"));
    }
    let flows = match input.explicit_auth_flows.is_empty() {
        true => ["ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_USER_SRP_AUTH", "ALLOW_CUSTOM_AUTH"].map(str::to_owned).to_vec(),
        false => input.explicit_auth_flows,
    };
    let (access_unit, access_s) = validity(
        "AccessTokenValidity",
        input.access_token_validity,
        input.token_validity_units.access_token,
        (TokenUnit::Hours, 1),
        (5 * MINUTE_S, DAY_S),
    )?;
    let (id_unit, id_s) = validity(
        "IdTokenValidity",
        input.id_token_validity,
        input.token_validity_units.id_token,
        (TokenUnit::Hours, 1),
        (5 * MINUTE_S, DAY_S),
    )?;
    let refresh = input.refresh_token_validity.filter(|validity| *validity > 0);
    let (refresh_unit, refresh_s) = validity(
        "RefreshTokenValidity",
        refresh,
        input.token_validity_units.refresh_token,
        (TokenUnit::Days, 30),
        (60 * MINUTE_S, 3650 * DAY_S),
    )?;
    if access_s.max(id_s) > refresh_s {
        return Err(UserFault::parameter("The refresh token has to be valid for longer than the others"));
    }
    let session_minutes = input.auth_session_validity.unwrap_or(3);
    if !(3..=15).contains(&session_minutes) {
        return Err(UserFault::parameter("AuthSessionValidity has to be from 3 to 15"));
    }
    let rotation_grace_s = match input.refresh_token_rotation {
        Some(rotation) if rotation.feature == "ENABLED" => Some(rotation.retry_grace_period_seconds.unwrap_or(0)),
        _ => None,
    };
    if rotation_grace_s.is_some_and(|grace_s| grace_s > 60) {
        return Err(UserFault::parameter("RetryGracePeriodSeconds has to be from 0 to 60"));
    }
    let hides_users = match input.prevent_user_existence_errors.as_deref() {
        None | Some("LEGACY") => false,
        Some("ENABLED") => true,
        Some(_) => return Err(UserFault::parameter("PreventUserExistenceErrors is LEGACY or ENABLED")),
    };
    let client = UserPoolClient {
        name: input.client_name,
        sealed_secret: None,
        made_ms: 0,
        changed_ms: 0,
        access_s,
        id_s,
        refresh_s,
        units: [access_unit, id_unit, refresh_unit],
        flows,
        hides_users,
        session_minutes,
        rotation_grace_s,
        read: input.read_attributes,
        write: input.write_attributes,
    };
    Ok(NewClient { client, secret: if input.generate_secret { ClientSecretChoice::Generated } else { ClientSecretChoice::None } })
}

/// A validity in seconds, with the unit that it was said in.
fn validity(
    name: &str,
    given: Option<u64>,
    unit: Option<String>,
    (default_unit, default): (TokenUnit, u64),
    (least_s, most_s): (u64, u64),
) -> Result<(TokenUnit, u32), UserFault> {
    let unit = match unit.as_deref() {
        None => default_unit,
        Some("seconds") => TokenUnit::Seconds,
        Some("minutes") => TokenUnit::Minutes,
        Some("hours") => TokenUnit::Hours,
        Some("days") => TokenUnit::Days,
        Some(_) => return Err(UserFault::parameter("TokenValidityUnits are seconds, minutes, hours or days")),
    };
    let seconds = match given {
        Some(given) => given.saturating_mul(unit_s(unit)),
        None => default * unit_s(default_unit),
    };
    let seconds = u32::try_from(seconds).ok().filter(|seconds| (least_s..=most_s).contains(&u64::from(*seconds)));
    seconds
        .map(|seconds| (unit, seconds))
        .ok_or_else(|| UserFault::Parameter(format!("{name} has to be from {least_s} to {most_s} seconds")))
}

fn unit_s(unit: TokenUnit) -> u64 {
    match unit {
        TokenUnit::Seconds => 1,
        TokenUnit::Minutes => MINUTE_S,
        TokenUnit::Hours => 60 * MINUTE_S,
        TokenUnit::Days => DAY_S,
    }
}

fn unit_name(unit: TokenUnit) -> &'static str {
    match unit {
        TokenUnit::Seconds => "seconds",
        TokenUnit::Minutes => "minutes",
        TokenUnit::Hours => "hours",
        TokenUnit::Days => "days",
    }
}

/// UserPoolClientType.
fn shape(call: &ClientCall) -> Value {
    let client = &call.client;
    let [access, id, refresh] = client.units;
    let mut shape = json!({
        "UserPoolId": call.pool_id.as_str(),
        "ClientName": client.name,
        "ClientId": call.client_id,
        "CreationDate": EpochSeconds::from_ms(client.made_ms),
        "LastModifiedDate": EpochSeconds::from_ms(client.changed_ms),
        "AccessTokenValidity": u64::from(client.access_s) / unit_s(access),
        "IdTokenValidity": u64::from(client.id_s) / unit_s(id),
        "RefreshTokenValidity": u64::from(client.refresh_s) / unit_s(refresh),
        "TokenValidityUnits": { "AccessToken": unit_name(access), "IdToken": unit_name(id), "RefreshToken": unit_name(refresh) },
        "ExplicitAuthFlows": client.flows,
        "PreventUserExistenceErrors": if client.hides_users { "ENABLED" } else { "LEGACY" },
        "EnableTokenRevocation": true,
        "AuthSessionValidity": client.session_minutes,
        "AllowedOAuthFlowsUserPoolClient": false,
    });
    if let Some(secret) = call.secret() {
        shape["ClientSecret"] = secret.into();
    }
    if let Some(grace_s) = client.rotation_grace_s {
        shape["RefreshTokenRotation"] = json!({ "Feature": "ENABLED", "RetryGracePeriodSeconds": grace_s });
    }
    for (name, names) in [("ReadAttributes", &client.read), ("WriteAttributes", &client.write)] {
        if !names.is_empty() {
            shape[name] = json!(names);
        }
    }
    shape
}
