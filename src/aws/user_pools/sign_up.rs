//! SignUp, ConfirmSignUp, ResendConfirmationCode, ForgotPassword, ConfirmForgotPassword.

use serde::{Deserialize, Serialize};

use super::faults::fault;
use super::requests::{answered, done, read};
use super::shapes::{AttributeShape, CodeDeliveryShape, pairs};
use crate::aws::call::{AwsAnswer, AwsCall};
use crate::aws::error::AwsError;
use crate::aws::services::AwsServices;
use crate::users::{ClientCall, UserFault};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SignUpInput {
    client_id: String,
    secret_hash: Option<String>,
    username: String,
    password: Option<String>,
    #[serde(default)]
    user_attributes: Vec<AttributeShape>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SignUpOutput {
    user_confirmed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_delivery_details: Option<CodeDeliveryShape>,
    user_sub: String,
}

/// A call that names a user, and perhaps a code and a password.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NamedUserInput {
    client_id: String,
    secret_hash: Option<String>,
    username: String,
    #[serde(default)]
    confirmation_code: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    force_alias_creation: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeliveryOutput {
    code_delivery_details: CodeDeliveryShape,
}

async fn client(
    services: &AwsServices,
    call: &AwsCall,
    id: &str,
    username: &str,
    secret_hash: Option<&str>,
) -> Result<ClientCall, AwsError> {
    let of = |why: UserFault| fault(call.wire, why);
    let client = services.user_pools.client(id).await.map_err(of)?;
    client.check_secret_hash(username, secret_hash).map_err(of)?;
    Ok(client)
}

async fn named(services: &AwsServices, call: &AwsCall, body: &[u8]) -> Result<(ClientCall, NamedUserInput), AwsError> {
    let input: NamedUserInput = read(body)?;
    let client = client(services, call, &input.client_id, &input.username, input.secret_hash.as_deref()).await?;
    Ok((client, input))
}

pub(super) async fn sign_up(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: SignUpInput = read(body)?;
    let client = client(services, call, &input.client_id, &input.username, input.secret_hash.as_deref()).await?;
    let password = input.password.as_deref().unwrap_or_default();
    let signed_up = services.user_pools.sign_up(&client, &input.username, password, &pairs(input.user_attributes)).await;
    let signed_up = signed_up.map_err(|why| fault(call.wire, why))?;
    let code_delivery_details = signed_up.delivery.map(CodeDeliveryShape::from);
    answered(call, &SignUpOutput { user_confirmed: false, code_delivery_details, user_sub: signed_up.sub })
}

pub(super) async fn confirm(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let (client, input) = named(services, call, body).await?;
    let NamedUserInput { username, confirmation_code, force_alias_creation, .. } = input;
    let confirmed = services.user_pools.confirm_sign_up(&client, &username, &confirmation_code, force_alias_creation).await;
    confirmed.map_err(|why| fault(call.wire, why))?;
    done(call)
}

pub(super) async fn resend(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let (client, input) = named(services, call, body).await?;
    let sent = services.user_pools.resend_code(&client, &input.username).await.map_err(|why| fault(call.wire, why))?;
    answered(call, &DeliveryOutput { code_delivery_details: sent.into() })
}

pub(super) async fn forgot(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let (client, input) = named(services, call, body).await?;
    let sent = services.user_pools.forgot_password(&client, &input.username).await.map_err(|why| fault(call.wire, why))?;
    answered(call, &DeliveryOutput { code_delivery_details: sent.into() })
}

pub(super) async fn confirm_forgot(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let (client, NamedUserInput { username, confirmation_code, password, .. }) = named(services, call, body).await?;
    let set = services.user_pools.confirm_forgot_password(&client, &username, &confirmation_code, &password).await;
    set.map_err(|why| fault(call.wire, why))?;
    done(call)
}
