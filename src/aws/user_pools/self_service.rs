//! GetUser, UpdateUserAttributes, ChangePassword, GlobalSignOut, DeleteUser: an access token says whose.

use serde::{Deserialize, Serialize};

use super::faults::fault;
use super::requests::{answered, done, read};
use super::shapes::{AttributeShape, CodeDeliveryShape, attributes, pairs};
use crate::aws::call::{AwsAnswer, AwsCall};
use crate::aws::services::AwsServices;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TokenInput {
    access_token: String,
    #[serde(default)]
    user_attributes: Vec<AttributeShape>,
    #[serde(default)]
    previous_password: String,
    #[serde(default)]
    proposed_password: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetUserOutput {
    username: String,
    user_attributes: Vec<AttributeShape>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateOutput {
    code_delivery_details_list: Vec<CodeDeliveryShape>,
}

pub(super) async fn get_user(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: TokenInput = read(body)?;
    let user = services.user_pools.get_user(&input.access_token).await.map_err(|why| fault(call.wire, why))?;
    answered(call, &GetUserOutput { user_attributes: attributes(&user.sub, &user.attributes), username: user.username })
}

pub(super) async fn update_attributes(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: TokenInput = read(body)?;
    let sent = services.user_pools.update_attributes(&input.access_token, &pairs(input.user_attributes)).await;
    let sent = sent.map_err(|why| fault(call.wire, why))?;
    answered(call, &UpdateOutput { code_delivery_details_list: sent.into_iter().map(CodeDeliveryShape::from).collect() })
}

pub(super) async fn change_password(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: TokenInput = read(body)?;
    let changed = services.user_pools.change_password(&input.access_token, &input.previous_password, &input.proposed_password).await;
    changed.map_err(|why| fault(call.wire, why))?;
    done(call)
}

pub(super) async fn global_sign_out(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: TokenInput = read(body)?;
    let ended = services.user_pools.global_sign_out(&input.access_token).await.map_err(|why| fault(call.wire, why))?;
    services.sign_ins_ended(call, &ended).await?;
    done(call)
}

pub(super) async fn delete_user(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: TokenInput = read(body)?;
    let ended = services.user_pools.delete_user(&input.access_token).await.map_err(|why| fault(call.wire, why))?;
    services.sign_ins_ended(call, &ended).await?;
    done(call)
}
