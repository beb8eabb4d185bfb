//! AdminCreateUser, AdminGetUser, AdminSetUserPassword, ListUsers.

use serde::Deserialize;
use serde_json::{Value, json};

use super::faults::fault;
use super::requests::{answered, check_pool, done, pool_arn, read};
use super::shapes::{AttributeShape, UserShape, pairs};
use crate::access::{AccessOperation, OperationAsk, OperationPolicy};
use crate::aws::call::{AwsAnswer, AwsCall};
use crate::aws::services::AwsServices;
use crate::users::{MOST_LISTED, NewPoolUser, UserFault, UserFilter};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateUserInput {
    user_pool_id: String,
    username: String,
    #[serde(default)]
    user_attributes: Vec<AttributeShape>,
    temporary_password: Option<String>,
    #[serde(default)]
    force_alias_creation: bool,
    message_action: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetInput {
    user_pool_id: String,
    username: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SetPasswordInput {
    user_pool_id: String,
    username: String,
    password: String,
    #[serde(default)]
    permanent: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListUsersInput {
    user_pool_id: String,
    limit: Option<usize>,
    pagination_token: Option<String>,
    #[serde(default)]
    filter: String,
    attributes_to_get: Option<Vec<String>>,
}

impl AccessOperation for CreateUserInput {
    const POLICY: OperationPolicy<CreateUserInput> = OperationPolicy::Asked(OperationAsk {
        action: "cognito-idp:AdminCreateUser",
        resource: |input, scope| pool_arn(&input.user_pool_id, scope),
        keys: |_, _| (),
    });
}

impl AccessOperation for GetInput {
    const POLICY: OperationPolicy<GetInput> = OperationPolicy::Asked(OperationAsk {
        action: "cognito-idp:AdminGetUser",
        resource: |input, scope| pool_arn(&input.user_pool_id, scope),
        keys: |_, _| (),
    });
}

impl AccessOperation for SetPasswordInput {
    const POLICY: OperationPolicy<SetPasswordInput> = OperationPolicy::Asked(OperationAsk {
        action: "cognito-idp:AdminSetUserPassword",
        resource: |input, scope| pool_arn(&input.user_pool_id, scope),
        keys: |_, _| (),
    });
}

impl AccessOperation for ListUsersInput {
    const POLICY: OperationPolicy<ListUsersInput> = OperationPolicy::Asked(OperationAsk {
        action: "cognito-idp:ListUsers",
        resource: |input, scope| pool_arn(&input.user_pool_id, scope),
        keys: |_, _| (),
    });
}

pub(super) async fn create_user(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: CreateUserInput = read(body)?;
    check_pool(services, call, &input, &input.user_pool_id).await?;
    let of = |why: UserFault| fault(call.wire, why);
    let (id, pool) = services.user_pools.pool(&input.user_pool_id).await.map_err(of)?;
    let (is_told, is_again) = match input.message_action.as_deref() {
        None => (true, false),
        Some("SUPPRESS") => (false, false),
        Some("RESEND") => (true, true),
        Some(_) => return Err(of(UserFault::parameter("MessageAction is RESEND or SUPPRESS"))),
    };
    let new = NewPoolUser {
        username: &input.username,
        attributes: &pairs(input.user_attributes),
        password: input.temporary_password.as_deref(),
        takes_alias: input.force_alias_creation,
        is_told,
        is_again,
    };
    let user = services.user_pools.admin_create_user(&id, &pool, new).await.map_err(of)?;
    answered(call, &json!({ "User": UserShape::from(user) }))
}

pub(super) async fn get_user(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: GetInput = read(body)?;
    check_pool(services, call, &input, &input.user_pool_id).await?;
    let of = |why: UserFault| fault(call.wire, why);
    let (id, pool) = services.user_pools.pool(&input.user_pool_id).await.map_err(of)?;
    let user = UserShape::from(services.user_pools.admin_get_user(&id, &pool, &input.username).await.map_err(of)?);
    let UserShape { username, attributes, user_create_date, user_last_modified_date, enabled, user_status } = user;
    let answer = json!({
        "Username": username, "UserAttributes": attributes, "UserCreateDate": user_create_date,
        "UserLastModifiedDate": user_last_modified_date, "Enabled": enabled, "UserStatus": user_status,
    });
    answered(call, &answer)
}

pub(super) async fn set_password(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: SetPasswordInput = read(body)?;
    check_pool(services, call, &input, &input.user_pool_id).await?;
    let of = |why: UserFault| fault(call.wire, why);
    let (id, pool) = services.user_pools.pool(&input.user_pool_id).await.map_err(of)?;
    let set = services.user_pools.admin_set_password(&id, &pool, &input.username, &input.password, input.permanent).await;
    set.map_err(of)?;
    done(call)
}

pub(super) async fn list_users(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: ListUsersInput = read(body)?;
    check_pool(services, call, &input, &input.user_pool_id).await?;
    let of = |why: UserFault| fault(call.wire, why);
    let (id, pool) = services.user_pools.pool(&input.user_pool_id).await.map_err(of)?;
    let filter = UserFilter::parse(&input.filter).map_err(of)?;
    let after = input.pagination_token.filter(|token| token.len() <= 512);
    let limit = input.limit.filter(|limit| *limit > 0).unwrap_or(MOST_LISTED);
    let listed = services.user_pools.list_users(&id, &pool, filter, after, limit).await.map_err(of)?;
    let shown = |user| {
        let mut shape = UserShape::from(user);
        if let Some(names) = &input.attributes_to_get {
            shape.attributes.retain(|attribute| names.contains(&attribute.name));
        }
        json!(shape)
    };
    let users: Vec<Value> = listed.users.into_iter().map(shown).collect();
    let mut answer = json!({ "Users": users });
    if let Some(next) = listed.next {
        answer["PaginationToken"] = next.into();
    }
    answered(call, &answer)
}
