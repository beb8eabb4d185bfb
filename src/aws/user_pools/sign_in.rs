//! InitiateAuth, RespondToAuthChallenge, those of administrators, GetTokensFromRefreshToken, RevokeToken.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::faults::fault;
use super::requests::{answered, check_pool, done, pool_arn, read};
use crate::access::{AccessOperation, OperationAsk, OperationPolicy};
use crate::aws::call::{AwsAnswer, AwsCall};
use crate::aws::services::AwsServices;
use crate::users::{AuthFlow, ChallengeParameters, IssuedTokens, SecretProof, SignInAnswer, SignInChallenge, UserFault};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InitiateInput {
    #[serde(default)]
    user_pool_id: String,
    client_id: String,
    auth_flow: String,
    #[serde(default)]
    auth_parameters: ChallengeParameters,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RespondInput {
    #[serde(default)]
    user_pool_id: String,
    client_id: String,
    challenge_name: String,
    session: Option<String>,
    #[serde(default)]
    challenge_responses: ChallengeParameters,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RefreshInput {
    client_id: String,
    client_secret: Option<String>,
    refresh_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RevokeInput {
    client_id: String,
    client_secret: Option<String>,
    token: String,
}

impl AccessOperation for InitiateInput {
    const POLICY: OperationPolicy<InitiateInput> = OperationPolicy::Asked(OperationAsk {
        action: "cognito-idp:AdminInitiateAuth",
        resource: |input, scope| pool_arn(&input.user_pool_id, scope),
        keys: |_, _| (),
    });
}

impl AccessOperation for RespondInput {
    const POLICY: OperationPolicy<RespondInput> = OperationPolicy::Asked(OperationAsk {
        action: "cognito-idp:AdminRespondToAuthChallenge",
        resource: |input, scope| pool_arn(&input.user_pool_id, scope),
        keys: |_, _| (),
    });
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SignInOutput {
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    challenge_parameters: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication_result: Option<TokensShape>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TokensShape {
    access_token: String,
    expires_in: u32,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    id_token: String,
}

impl From<IssuedTokens> for TokensShape {
    fn from(tokens: IssuedTokens) -> TokensShape {
        let IssuedTokens { id, access, refresh, expires_s } = tokens;
        TokensShape { access_token: access, expires_in: expires_s, token_type: "Bearer", refresh_token: refresh, id_token: id }
    }
}

impl From<SignInAnswer> for SignInOutput {
    fn from(answer: SignInAnswer) -> SignInOutput {
        match answer {
            SignInAnswer::Tokens(signed_in) => SignInOutput {
                challenge_name: None,
                session: None,
                challenge_parameters: BTreeMap::new(),
                authentication_result: Some(signed_in.tokens.into()),
            },
            SignInAnswer::Challenge(SignInChallenge { name, session, parameters }) => SignInOutput {
                challenge_name: Some(name),
                session,
                challenge_parameters: parameters.into_iter().collect(),
                authentication_result: None,
            },
        }
    }
}

/// A way to sign in that users have.
fn user_flow(name: &str) -> Result<AuthFlow, UserFault> {
    match name {
        "USER_SRP_AUTH" => Ok(AuthFlow::UserSrp),
        "USER_PASSWORD_AUTH" => Ok(AuthFlow::UserPassword),
        "REFRESH_TOKEN_AUTH" | "REFRESH_TOKEN" => Ok(AuthFlow::Refresh),
        "ADMIN_NO_SRP_AUTH" | "ADMIN_USER_PASSWORD_AUTH" => Err(UserFault::parameter("Initiate Auth method not supported.")),
        _ => Err(UserFault::parameter("This server has no such AuthFlow")),
    }
}

/// A way to sign in that administrators have.
fn admin_flow(name: &str) -> Result<AuthFlow, UserFault> {
    match name {
        "ADMIN_NO_SRP_AUTH" | "ADMIN_USER_PASSWORD_AUTH" => Ok(AuthFlow::AdminUserPassword),
        "USER_PASSWORD_AUTH" => Err(UserFault::parameter("Initiate Auth method not supported.")),
        other => user_flow(other),
    }
}

pub(super) async fn initiate(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: InitiateInput = read(body)?;
    let of = |why: UserFault| fault(call.wire, why);
    let flow = user_flow(&input.auth_flow).map_err(of)?;
    let client = services.user_pools.client(&input.client_id).await.map_err(of)?;
    let answer = services.user_pools.initiate(&client, flow, &input.auth_parameters).await.map_err(of)?;
    answered(call, &SignInOutput::from(answer))
}

pub(super) async fn respond(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: RespondInput = read(body)?;
    let of = |why: UserFault| fault(call.wire, why);
    let client = services.user_pools.client(&input.client_id).await.map_err(of)?;
    let RespondInput { challenge_name, session, challenge_responses, .. } = input;
    let answer = services.user_pools.respond(&client, &challenge_name, session.as_deref(), &challenge_responses).await.map_err(of)?;
    answered(call, &SignInOutput::from(answer))
}

pub(super) async fn admin_initiate(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: InitiateInput = read(body)?;
    check_pool(services, call, &input, &input.user_pool_id).await?;
    let of = |why: UserFault| fault(call.wire, why);
    let flow = admin_flow(&input.auth_flow).map_err(of)?;
    let client = services.user_pools.client_of(&input.user_pool_id, &input.client_id).await.map_err(of)?;
    let answer = services.user_pools.initiate(&client, flow, &input.auth_parameters).await.map_err(of)?;
    answered(call, &SignInOutput::from(answer))
}

pub(super) async fn admin_respond(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: RespondInput = read(body)?;
    check_pool(services, call, &input, &input.user_pool_id).await?;
    let of = |why: UserFault| fault(call.wire, why);
    let client = services.user_pools.client_of(&input.user_pool_id, &input.client_id).await.map_err(of)?;
    let RespondInput { challenge_name, session, challenge_responses, .. } = input;
    let answer = services.user_pools.respond(&client, &challenge_name, session.as_deref(), &challenge_responses).await.map_err(of)?;
    answered(call, &SignInOutput::from(answer))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RefreshOutput {
    authentication_result: TokensShape,
}

pub(super) async fn refresh(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: RefreshInput = read(body)?;
    let of = |why: UserFault| fault(call.wire, why);
    let client = services.user_pools.client(&input.client_id).await.map_err(of)?;
    let proof = SecretProof::Secret(input.client_secret.as_deref());
    let tokens = services.user_pools.refresh(&client, &input.refresh_token, proof).await.map_err(of)?;
    answered(call, &RefreshOutput { authentication_result: tokens.into() })
}

pub(super) async fn revoke(services: &AwsServices, call: &AwsCall, body: &[u8]) -> AwsAnswer {
    let input: RevokeInput = read(body)?;
    let of = |why: UserFault| fault(call.wire, why);
    let client = services.user_pools.client(&input.client_id).await.map_err(of)?;
    client.check_secret(input.client_secret.as_deref()).map_err(of)?;
    services.user_pools.revoke(&client, &input.token).await.map_err(of)?;
    done(call)
}
