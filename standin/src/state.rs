//! The state that all connections of a gateway share.

use tokio_rustls::TlsAcceptor;

use super::access_tokens::AccessTokens;
use super::apns_tokens::ApnsTokenChecker;
use super::clock::AdjustableClock;
use super::connection_registry::ConnectionRegistry;
use super::credentials::SenderCredentials;
use super::device_registry::DeviceRegistry;
use super::push_log::PushLog;
use super::vapid::VapidChecker;

pub(crate) struct GatewayState {
    pub(crate) url: String,
    pub(crate) credentials: SenderCredentials,
    pub(crate) tls_acceptor: TlsAcceptor,
    pub(crate) clock: AdjustableClock,
    pub(crate) devices: DeviceRegistry,
    pub(crate) log: PushLog,
    pub(crate) connections: ConnectionRegistry,
    pub(crate) apns_tokens: ApnsTokenChecker,
    pub(crate) access_tokens: AccessTokens,
    pub(crate) vapid: VapidChecker,
}
