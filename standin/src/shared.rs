//! What all connections of a gateway share.

use tokio_rustls::TlsAcceptor;

use super::access_tokens::AccessTokens;
use super::clock::Clock;
use super::credentials::Credentials;
use super::directory::Directory;
use super::ledger::Ledger;
use super::lines::Lines;
use super::provider_tokens::ProviderTokens;
use super::vapid::Vapid;

pub(super) struct Shared {
    pub(super) url: String,
    pub(super) credentials: Credentials,
    pub(super) acceptor: TlsAcceptor,
    pub(super) clock: Clock,
    pub(super) directory: Directory,
    pub(super) ledger: Ledger,
    pub(super) lines: Lines,
    pub(super) provider_tokens: ProviderTokens,
    pub(super) access_tokens: AccessTokens,
    pub(super) vapid: Vapid,
}
