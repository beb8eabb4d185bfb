//! Checks one request, then responds as the script of its token says.

use std::future::pending;
use std::sync::atomic::Ordering;

use driftless_protocol::Provider;
use h2::Reason;
use http::Method;

use super::push_log::LoggedPush;
use super::rejection::Rejection;
use super::request::{AcceptedPush, GatewayRequest, ListenerKind};
use super::response::HttpResponse;
use super::scripted_response::ScriptedResponse;
use super::state::GatewayState;
use super::{apns, fcm, response, webpush};

/// The token endpoint's name in the device registry: the last segment of its address, as with subscriptions.
const TOKEN_ENDPOINT: &str = "token";

const TOKEN_PATH: &str = "/token";

/// What the connection does with a request.
pub(crate) enum RequestOutcome {
    Respond(HttpResponse),
    ResetStream(Reason),
    CloseConnection,
}

/// Handles a push.
pub(crate) async fn respond_to_push(state: &GatewayState, request: GatewayRequest) -> RequestOutcome {
    let (service, checked) = check(state, &request);
    let outcome = match checked {
        Ok(accepted) => {
            let scripted = state.devices.next_response(&accepted.token);
            perform(state, scripted, || accept(state, &request, &accepted)).await
        }
        Err(rejection) => {
            state.log.record_rejection(service, &rejection);
            RequestOutcome::Respond(*rejection.response)
        }
    };
    match outcome {
        RequestOutcome::Respond(mut response) if service == "apns" => {
            response.headers_mut().insert("apns-id", apns::apns_id(&request));
            RequestOutcome::Respond(response)
        }
        other => other,
    }
}

/// The service that a request addresses, and the result of that service's check.
fn check(state: &GatewayState, request: &GatewayRequest) -> (&'static str, Result<AcceptedPush, Rejection>) {
    match request.listener {
        ListenerKind::Main if request.path().starts_with(fcm::PATH) => ("fcm", fcm::check(state, request)),
        ListenerKind::Main if request.path().starts_with(webpush::PATH) => ("webpush", webpush::check(state, request)),
        ListenerKind::Main | ListenerKind::Sandbox | ListenerKind::TokenEndpoint => ("apns", apns::check(state, request)),
    }
}

/// Stores and counts an accepted push.
fn accept(state: &GatewayState, request: &GatewayRequest, accepted: &AcceptedPush) -> HttpResponse {
    let AcceptedPush { provider, token, content, response } = accepted;
    let log = &state.log;
    if log.keeps_pushes() {
        let names = match provider {
            Provider::Apns | Provider::ApnsSandbox => apns::HEADERS,
            Provider::Fcm => &[],
            Provider::Webpush => webpush::HEADERS,
        };
        log.record_push(LoggedPush {
            provider: *provider,
            token: token.clone(),
            headers: names.iter().filter_map(|name| Some((*name, request.header(name)?.to_owned()))).collect(),
            content: content.compact(),
            at_ms: state.clock.now_ms(),
            connection: request.connection,
            stream: request.stream,
            attempt: state.devices.attempt_count(token),
        });
    }
    log.accepted.fetch_add(1, Ordering::Relaxed);
    state.devices.count_accepted(token);
    log.push_accepted.notify_waiters();
    response.clone()
}

/// Handles a sender's request for an access token.
pub(crate) async fn respond_to_token_request(state: &GatewayState, request: GatewayRequest) -> RequestOutcome {
    state.log.token_requests.fetch_add(1, Ordering::Relaxed);
    if request.path() != TOKEN_PATH || request.method != Method::POST {
        let rejection = Rejection::sender_error(response::empty(404), "NOT_FOUND", "the token endpoint is POST /token");
        state.log.record_rejection("token endpoint", &rejection);
        return RequestOutcome::Respond(*rejection.response);
    }
    let form = std::str::from_utf8(&request.body).unwrap_or_default();
    if let Err(rejection) = state.access_tokens.check(form, state.clock.now_s()) {
        state.log.record_rejection("token endpoint", &rejection);
        return RequestOutcome::Respond(*rejection.response);
    }
    let scripted = state.devices.next_response(TOKEN_ENDPOINT);
    perform(state, scripted, || state.access_tokens.issue(state.clock.now_s())).await
}

/// Carries out a scripted response.
async fn perform(state: &GatewayState, mut scripted: ScriptedResponse, accept: impl Fn() -> HttpResponse) -> RequestOutcome {
    loop {
        scripted = match scripted {
            ScriptedResponse::Always(inner) => *inner,
            ScriptedResponse::Delayed(latency, inner) => {
                tokio::time::sleep(latency).await;
                *inner
            }
            ScriptedResponse::Accept => return RequestOutcome::Respond(accept()),
            ScriptedResponse::AcceptSilently => {
                drop(accept());
                return pending().await;
            }
            ScriptedResponse::Respond(response) => {
                state.log.count_rejected(&format!("scripted {}", response.status().as_u16()));
                return RequestOutcome::Respond(response);
            }
            ScriptedResponse::Hang => {
                state.log.count_rejected("scripted hang");
                return pending().await;
            }
            ScriptedResponse::ResetStream => {
                state.log.count_rejected("scripted reset");
                return RequestOutcome::ResetStream(Reason::INTERNAL_ERROR);
            }
            ScriptedResponse::RefuseStream => {
                state.log.count_rejected("scripted refused");
                return RequestOutcome::ResetStream(Reason::REFUSED_STREAM);
            }
            ScriptedResponse::CloseConnection => {
                state.log.count_rejected("scripted cut");
                return RequestOutcome::CloseConnection;
            }
        }
    }
}
