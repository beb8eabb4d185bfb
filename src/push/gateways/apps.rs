//! A pool's apps, ready to be sent to: for each app its credential and the client that reaches its gateway.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::access_token::AccessTokenSource;
use super::connection_pool::ConnectionPool;
use super::endpoint::AddressPolicy;
use super::payload::PayloadFormat;
use super::provider_token::ProviderTokenCache;
use super::third_party::ThirdPartyClient;
use super::vapid::VapidSigner;

/// A pool's apps by provider and name.
pub(super) struct PoolApps {
    pub(super) format: PayloadFormat,
    pub(super) apns: HashMap<String, ApnsApp>,
    pub(super) fcm: HashMap<String, FcmApp>,
    pub(super) webpush: HashMap<String, WebpushApp>,
    /// How long one wake may take, with every retry.
    pub(super) timeout: Duration,
}

/// A gateway's server, and the connections to it.
#[derive(Clone)]
pub(super) struct GatewayServer {
    pub(super) server: Uri,
    pub(super) connections: ConnectionPool,
}

pub(super) struct ApnsApp {
    pub(super) production: GatewayServer,
    pub(super) sandbox: GatewayServer,
    /// `None`: the connections' client certificate authenticates us.
    pub(super) tokens: Option<Arc<ProviderTokenCache>>,
}

pub(super) struct FcmApp {
    pub(super) gateway: GatewayServer,
    pub(super) access_tokens: AccessTokenSource,
}

pub(super) struct WebpushApp {
    pub(super) client: ThirdPartyClient,
    pub(super) policy: AddressPolicy,
    pub(super) vapid: VapidSigner,
}
