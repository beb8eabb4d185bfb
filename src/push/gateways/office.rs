//! All gateways of one pool: one wake goes in, one verdict comes out.
//!
//! What is tried twice is tried here, and only what a gateway asks for: with a new token when it calls the old one expired, with less when it finds
//! a payload too large. When to come again, and what becomes of the token, is the caller's business.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use driftless_protocol::{Provider, PushTarget, WebPushSubscription};
use http::Uri;

use super::answer::Lost;
use super::apns::{self, Extent};
use super::bearer::Bearer;
use super::config::PushConfig;
use super::config_error::PushConfigError;
use super::endpoint::{Endpoint, Reach, Unusable};
use super::fcm;
use super::lanes::Lanes;
use super::notice::{Form, Notice, Wake};
use super::opening;
use super::provider_token::ProviderTokens;
use super::strangers::{NoAnswer, Strangers};
use super::vapid::Vapid;
use super::verdict::{Fault, Verdict, Whom};
use super::webpush;

/// How long one wake may take at its gateway, with all that is tried. Gateways answer within a second when they are well.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// The gateways of one pool's apps. Cheap to clone; with the last clone its connections end.
#[derive(Clone)]
pub struct PushGateways {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) form: Form,
    pub(super) apns: HashMap<String, ApnsApp>,
    pub(super) fcm: HashMap<String, FcmApp>,
    pub(super) webpush: HashMap<String, WebpushApp>,
    pub(super) now_ms: Now,
    pub(super) timeout: Duration,
}

/// Tells the time in Unix milliseconds.
pub(super) type Now = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A server of a gateway's, and the connections to it.
#[derive(Clone)]
pub(super) struct Gateway {
    pub(super) server: Uri,
    pub(super) lanes: Lanes,
}

pub(super) struct ApnsApp {
    pub(super) production: Gateway,
    pub(super) sandbox: Gateway,
    /// `None`: the connections' certificate says who we are.
    pub(super) tokens: Option<Arc<ProviderTokens>>,
}

pub(super) struct FcmApp {
    pub(super) gateway: Gateway,
    pub(super) bearer: Bearer,
}

pub(super) struct WebpushApp {
    pub(super) strangers: Strangers,
    pub(super) reach: Reach,
    pub(super) vapid: Vapid,
}

impl PushGateways {
    /// Reads all credentials. Blocks on the disk: for the start only.
    ///
    /// # Errors
    /// A setting or a credential that cannot be used, by its name or its file's.
    pub fn new(config: &PushConfig) -> Result<PushGateways, PushConfigError> {
        let now_ms = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        PushGateways::with(config, Arc::new(now_ms), SEND_TIMEOUT)
    }

    pub(super) fn with(config: &PushConfig, now_ms: Now, timeout: Duration) -> Result<PushGateways, PushConfigError> {
        Ok(PushGateways { inner: Arc::new(opening::open(config, now_ms, timeout)?) })
    }

    /// Whether the pool has an app of this name there.
    pub fn knows(&self, provider: Provider, app: &str) -> bool {
        match provider {
            Provider::Apns | Provider::ApnsSandbox => self.inner.apns.contains_key(app),
            Provider::Fcm => self.inner.fcm.contains_key(app),
            Provider::Webpush => self.inner.webpush.contains_key(app),
        }
    }

    /// Whether a wake could be sent there, as far as that can be said without sending.
    ///
    /// # Errors
    /// Why not, for whoever registers it.
    pub fn check(&self, target: &PushTarget, app: &str) -> Result<(), String> {
        if !self.knows(target.provider(), app) {
            return Err(format!("this pool has no app of this name for {}", target.provider()));
        }
        match (target, self.inner.webpush.get(app)) {
            (PushTarget::Webpush(subscription), Some(known)) => {
                Endpoint::new(subscription, known.reach).map(|_| ()).map_err(|why| why.explained().to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Sends a wake, and says what became of it, within [`SEND_TIMEOUT`]. A call that is dropped may have sent it.
    pub async fn send(&self, target: &PushTarget, app: &str, wake: &Wake) -> Verdict {
        let notice = Notice::new(wake, &self.inner.form);
        let sent = tokio::time::timeout(self.inner.timeout, self.inner.send(target, app, &notice));
        sent.await.unwrap_or_else(|_| Verdict::later("no_answer_in_time", whom(target)))
    }
}

impl fmt::Debug for PushGateways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { form, apns, fcm, webpush, .. } = &*self.inner;
        let apps = (apns.len(), fcm.len(), webpush.len());
        f.debug_struct("PushGateways").field("form", form).field("apps", &apps).finish_non_exhaustive()
    }
}

/// Who waits for a gateway that does not answer: Web Push's may be another for each device.
fn whom(target: &PushTarget) -> Whom {
    match target {
        PushTarget::Apns(_) | PushTarget::ApnsSandbox(_) | PushTarget::Fcm(_) => Whom::App,
        PushTarget::Webpush(_) => Whom::Device,
    }
}

impl Inner {
    fn now_ms(&self) -> u64 {
        (self.now_ms)()
    }

    async fn send(&self, target: &PushTarget, app: &str, notice: &Notice<'_>) -> Verdict {
        let sent = match target {
            PushTarget::Apns(token) => match self.apns.get(app) {
                Some(known) => self.apns(known, &known.production, app, token, notice).await,
                None => Err(unknown()),
            },
            PushTarget::ApnsSandbox(token) => match self.apns.get(app) {
                Some(known) => self.apns(known, &known.sandbox, app, token, notice).await,
                None => Err(unknown()),
            },
            PushTarget::Fcm(token) => match self.fcm.get(app) {
                Some(known) => self.fcm(known, token, notice).await,
                None => Err(unknown()),
            },
            PushTarget::Webpush(subscription) => match self.webpush.get(app) {
                Some(known) => self.webpush(known, subscription, notice).await,
                None => Err(unknown()),
            },
        };
        sent.unwrap_or_else(|why| why)
    }

    async fn apns(&self, app: &ApnsApp, gateway: &Gateway, topic: &str, token: &str, notice: &Notice<'_>) -> Sent {
        let mut extent = Extent::Whole;
        let mut provider = match &app.tokens {
            Some(tokens) => Some(tokens.current(self.now_ms() / 1000).ok_or_else(unsigned)?),
            None => None,
        };
        let mut renewed = false;
        loop {
            let bearer = provider.as_ref().map(|provider| provider.bearer.clone());
            let asked = apns::Asked { server: &gateway.server, token, topic, bearer, notice, extent };
            let reply = apns::reply(&gateway.lanes.send(&asked.request().map_err(|_| malformed())?).await.map_err(Lost::verdict)?);
            match (&reply, &app.tokens, &provider) {
                (apns::Reply::TooLarge, ..) if extent == Extent::Whole => extent = Extent::Minimal,
                (apns::Reply::TokenExpired, Some(tokens), Some(expired)) if !renewed => {
                    match tokens.after_expired(expired, self.now_ms() / 1000) {
                        Some(next) => (provider, renewed) = (Some(next), true),
                        None => return Ok(reply.settle()),
                    }
                }
                _ => return Ok(reply.settle()),
            }
        }
    }

    async fn fcm(&self, app: &FcmApp, token: &str, notice: &Notice<'_>) -> Sent {
        let mut renewed = false;
        loop {
            let now_ms = self.now_ms();
            let access = app.bearer.token(now_ms).await.map_err(|why| why.verdict())?;
            let (server, project, bearer) = (&app.gateway.server, app.bearer.project(), access.header.clone());
            let asked = fcm::Asked { server, project, token, bearer, notice, now_ms };
            let answer = app.gateway.lanes.send(&asked.request().map_err(|_| malformed())?).await.map_err(Lost::verdict)?;
            match fcm::reply(&answer, self.now_ms()) {
                fcm::Reply::Unauthenticated if !renewed => {
                    app.bearer.refused(&access);
                    renewed = true;
                }
                reply => return Ok(reply.settle()),
            }
        }
    }

    async fn webpush(&self, app: &WebpushApp, subscription: &WebPushSubscription, notice: &Notice<'_>) -> Sent {
        let dead = |why: Unusable| Verdict::dead(why.as_str());
        let endpoint = Endpoint::new(subscription, app.reach).map_err(dead)?;
        let now_ms = self.now_ms();
        let vapid = app.vapid.header(&endpoint.origin, now_ms / 1000).ok_or_else(unsigned)?;
        let request = webpush::request(&endpoint, vapid, notice, now_ms).ok_or_else(malformed)?;
        let answer = app.strangers.send(request).await.map_err(NoAnswer::verdict)?;
        Ok(webpush::verdict(&answer, self.now_ms()))
    }
}

/// Both are verdicts: one that a gateway's answer gave, or one from before there was an answer.
type Sent = Result<Verdict, Verdict>;

fn unknown() -> Verdict {
    Verdict::refused("app_unknown", Fault::App)
}

fn unsigned() -> Verdict {
    Verdict::refused("key_cannot_sign", Fault::App)
}

fn malformed() -> Verdict {
    Verdict::refused("request_malformed", Fault::Payload)
}

#[cfg(test)]
#[path = "office_tests.rs"]
mod tests;
