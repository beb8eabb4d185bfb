//! The gateways of one pool: one wake goes in, one verdict comes out.
//!
//! Only what a gateway's response asks for is retried here: with a new credential token when the gateway calls the old one expired, with the
//! minimal payload when it calls the full one too large. When to send again, and what happens to the device's token, is the caller's decision.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use driftless_protocol::{Provider, PushTarget, WebPushSubscription};

use super::apns::{self, ApnsOutcome, ApnsRequest, PayloadSize};
use super::apps::{ApnsApp, FcmApp, GatewayServer, PoolApps, WebpushApp};
use super::config::PushConfig;
use super::config_error::PushConfigError;
use super::endpoint::{Endpoint, EndpointError};
use super::failure::FailureCause;
use super::fcm::{self, FcmOutcome, FcmRequest};
use super::open::open;
use super::payload::{Wake, WakePayload};
use super::response::GatewaySendError;
use super::third_party;
use super::verdict::{FaultScope, RefusalCause, Verdict};
use super::webpush;
use crate::auth::OutboundProxy;
use crate::clock::Clock;

/// How long one wake may take, with every retry. Healthy gateways answer within a second.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// The gateways of one pool's apps. Cheap to clone; its connections end with the last clone.
#[derive(Clone)]
pub struct PushGateways {
    apps: Arc<PoolApps>,
}

impl PushGateways {
    /// Reads every credential. Blocks on the disk: for start-up and reloads only.
    ///
    /// # Errors
    /// A setting or a credential file that cannot be used, by its name.
    pub fn new(config: &PushConfig, proxy: &OutboundProxy) -> Result<PushGateways, PushConfigError> {
        PushGateways::with_timeout(config, SEND_TIMEOUT, proxy)
    }

    pub(super) fn with_timeout(config: &PushConfig, timeout: Duration, proxy: &OutboundProxy) -> Result<PushGateways, PushConfigError> {
        Ok(PushGateways { apps: Arc::new(open(config, timeout, proxy)?) })
    }

    pub fn has_app(&self, provider: Provider, app: &str) -> bool {
        match provider {
            Provider::Apns | Provider::ApnsSandbox => self.apps.apns.contains_key(app),
            Provider::Fcm => self.apps.fcm.contains_key(app),
            Provider::Webpush => self.apps.webpush.contains_key(app),
        }
    }

    /// The app of a provider, if there is exactly one.
    pub fn only_app(&self, provider: Provider) -> Option<String> {
        let mut names: Vec<&String> = match provider {
            Provider::Apns | Provider::ApnsSandbox => self.apps.apns.keys().collect(),
            Provider::Fcm => self.apps.fcm.keys().collect(),
            Provider::Webpush => self.apps.webpush.keys().collect(),
        };
        names.pop().filter(|_| names.is_empty()).cloned()
    }

    /// The public key of each Web Push app, as browsers take it, by the apps' names.
    pub fn application_server_keys(&self) -> BTreeMap<String, String> {
        self.apps.webpush.iter().map(|(name, app)| (name.clone(), app.vapid.public_key().to_owned())).collect()
    }

    /// Whether a wake could be sent to this target, as far as that is known without sending.
    ///
    /// # Errors
    /// The reason, as a text for the app's developer.
    pub fn check_target(&self, target: &PushTarget, app: &str) -> Result<(), String> {
        if !self.has_app(target.provider(), app) {
            return Err(format!("this pool has no app of this name for {}", target.provider()));
        }
        match (target, self.apps.webpush.get(app)) {
            (PushTarget::Webpush(subscription), Some(webpush_app)) => {
                Endpoint::new(subscription, webpush_app.policy).map(|_| ()).map_err(|error| error.message().to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Sends a wake and returns its verdict within [`SEND_TIMEOUT`]. If the future is dropped, the wake may have been sent.
    pub async fn send(&self, target: &PushTarget, app: &str, wake: &Wake, clock: Clock) -> Verdict {
        self.send_at(target, app, wake, &move || clock.unix_ms()).await
    }

    /// The same with any source of the time.
    pub(super) async fn send_at(&self, target: &PushTarget, app: &str, wake: &Wake, now_ms: NowMs<'_>) -> Verdict {
        let payload = WakePayload::new(wake, &self.apps.format);
        let sent = tokio::time::timeout(self.apps.timeout, self.apps.send(target, app, &payload, now_ms));
        sent.await.unwrap_or_else(|_| Verdict::later("no answer in time", timeout_scope(target)).because(FailureCause::Timeout))
    }
}

impl fmt::Debug for PushGateways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PoolApps { format, apns, fcm, webpush, .. } = &*self.apps;
        let apps = (apns.len(), fcm.len(), webpush.len());
        f.debug_struct("PushGateways").field("format", format).field("apps", &apps).finish_non_exhaustive()
    }
}

/// The devices that a gateway's silence concerns. Each Web Push subscription may name another server.
fn timeout_scope(target: &PushTarget) -> FaultScope {
    match target {
        PushTarget::Apns(_) | PushTarget::ApnsSandbox(_) | PushTarget::Fcm(_) => FaultScope::App,
        PushTarget::Webpush(_) => FaultScope::Device,
    }
}

/// Returns the time in Unix milliseconds. A send may ask several times, because it may wait for answers.
type NowMs<'a> = &'a (dyn Fn() -> u64 + Sync);

impl PoolApps {
    async fn send(&self, target: &PushTarget, app: &str, payload: &WakePayload<'_>, now_ms: NowMs<'_>) -> Verdict {
        let sent = match target {
            PushTarget::Apns(token) => match self.apns.get(app) {
                Some(apns_app) => self.send_apns(apns_app, &apns_app.production, app, token, payload, now_ms).await,
                None => Err(unknown_app()),
            },
            PushTarget::ApnsSandbox(token) => match self.apns.get(app) {
                Some(apns_app) => self.send_apns(apns_app, &apns_app.sandbox, app, token, payload, now_ms).await,
                None => Err(unknown_app()),
            },
            PushTarget::Fcm(token) => match self.fcm.get(app) {
                Some(fcm_app) => self.send_fcm(fcm_app, token, payload, now_ms).await,
                None => Err(unknown_app()),
            },
            PushTarget::Webpush(subscription) => match self.webpush.get(app) {
                Some(webpush_app) => self.send_webpush(webpush_app, subscription, payload, now_ms).await,
                None => Err(unknown_app()),
            },
        };
        sent.unwrap_or_else(|verdict| verdict)
    }

    async fn send_apns(
        &self,
        app: &ApnsApp,
        gateway: &GatewayServer,
        topic: &str,
        token: &str,
        payload: &WakePayload<'_>,
        now_ms: NowMs<'_>,
    ) -> SendResult {
        let mut size = PayloadSize::Full;
        let mut provider_token = match &app.tokens {
            Some(tokens) => Some(tokens.current(now_ms() / 1000).ok_or_else(cannot_sign)?),
            None => None,
        };
        let mut renewed = false;
        loop {
            let authorization = provider_token.as_ref().map(|provider_token| provider_token.header.clone());
            let request = ApnsRequest { server: &gateway.server, token, topic, authorization, payload, size }.build();
            let response = gateway.connections.send(&request.map_err(|_| malformed())?).await.map_err(GatewaySendError::verdict)?;
            let outcome = apns::interpret(&response);
            match (&outcome, &app.tokens, &provider_token) {
                (ApnsOutcome::PayloadTooLarge, ..) if size == PayloadSize::Full => size = PayloadSize::Minimal,
                (ApnsOutcome::TokenExpired, Some(tokens), Some(expired)) if !renewed => {
                    match tokens.after_expired(expired, now_ms() / 1000) {
                        Some(next) => (provider_token, renewed) = (Some(next), true),
                        None => return Ok(outcome.into_verdict()),
                    }
                }
                _ => return Ok(outcome.into_verdict()),
            }
        }
    }

    async fn send_fcm(&self, app: &FcmApp, token: &str, payload: &WakePayload<'_>, now_ms: NowMs<'_>) -> SendResult {
        let mut renewed = false;
        loop {
            let sent_ms = now_ms();
            let access_token = app.access_tokens.current(sent_ms).await.map_err(|error| error.verdict())?;
            let (server, project, authorization) = (&app.gateway.server, app.access_tokens.project(), access_token.header.clone());
            let request = FcmRequest { server, project, token, authorization, payload, now_ms: sent_ms }.build();
            let response = app.gateway.connections.send(&request.map_err(|_| malformed())?).await.map_err(GatewaySendError::verdict)?;
            match fcm::interpret(&response, now_ms()) {
                FcmOutcome::Unauthenticated if !renewed => {
                    app.access_tokens.invalidate(&access_token);
                    renewed = true;
                }
                outcome => return Ok(outcome.into_verdict()),
            }
        }
    }

    async fn send_webpush(
        &self,
        app: &WebpushApp,
        subscription: &WebPushSubscription,
        payload: &WakePayload<'_>,
        now_ms: NowMs<'_>,
    ) -> SendResult {
        let endpoint = Endpoint::new(subscription, app.policy).map_err(EndpointError::verdict)?;
        let sent_ms = now_ms();
        let vapid = app.vapid.header(&endpoint.origin, sent_ms / 1000).ok_or_else(cannot_sign)?;
        let request = webpush::request(&endpoint, vapid, payload, sent_ms).ok_or_else(malformed)?;
        let response = app.client.send(request).await.map_err(|fault| third_party::verdict_on(&fault))?;
        Ok(webpush::verdict(&response, now_ms()))
    }
}

/// `Err` is the verdict on a wake that got no response. Both sides are equally final; the error side lets `?` return early.
type SendResult = Result<Verdict, Verdict>;

fn unknown_app() -> Verdict {
    Verdict::refused("app_unknown", RefusalCause::App).because(FailureCause::UnknownApp)
}

fn cannot_sign() -> Verdict {
    Verdict::refused("key_cannot_sign", RefusalCause::App)
}

fn malformed() -> Verdict {
    Verdict::refused("request_malformed", RefusalCause::Payload)
}

#[cfg(test)]
#[path = "push_gateways_tests.rs"]
mod tests;
