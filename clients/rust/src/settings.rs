//! The settings that a device needs before it can connect.

use std::fmt;
use std::sync::Arc;

use driftless_protocol::{Codec, DeviceId};
use futures_util::future::BoxFuture;

use crate::{Address, AddressError};

/// How a device reaches its server, and how it identifies itself there.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server's address.
    pub address: Address,
    /// The id of this installation of the app, chosen once and kept.
    pub device: DeviceId,
    /// The source of the device's tokens.
    pub tokens: TokenSource,
    /// The encoding of messages.
    pub codec: Codec,
    /// Name and version of the app or library, at most 128 bytes of UTF-8; for the server's log only.
    pub client: String,
    /// The certificate authorities that the device trusts.
    pub tls: TlsTrust,
}

impl Settings {
    /// Settings with MessagePack, this library's name and the usual certificate authorities. Fails if `url` is not a server's address.
    pub fn new(url: &str, device: DeviceId, tokens: TokenSource) -> Result<Settings, AddressError> {
        let client = concat!("driftless-rust/", env!("CARGO_PKG_VERSION")).to_owned();
        Ok(Settings { address: Address::parse(url)?, device, tokens, codec: Codec::MsgPack, client, tls: TlsTrust::Roots })
    }
}

/// The certificate authorities that the device trusts when the address has the scheme `https` or `wss`.
#[derive(Clone)]
pub enum TlsTrust {
    /// The system's authorities and the bundled public ones.
    Roots,
    /// The authorities of this configuration, for instance a private one.
    Custom(Arc<rustls::ClientConfig>),
}

impl fmt::Debug for TlsTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsTrust::Roots => "Roots",
            TlsTrust::Custom(_) => "Custom",
        })
    }
}

type TokenFn = dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync;

/// Supplies tokens: the device asks for one before each connection, and when the server says that the present one expires soon.
#[derive(Clone)]
pub struct TokenSource(Arc<TokenFn>);

impl TokenSource {
    /// A source that calls a function, for instance one that asks the app's own server. An error is text for people; the device asks again later.
    pub fn new<F, R>(source: F) -> TokenSource
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, String>> + Send + 'static,
    {
        TokenSource(Arc::new(move || Box::pin(source())))
    }

    /// A source that always returns the same token: the device cannot connect any more when the token has expired.
    pub fn fixed(token: impl Into<String>) -> TokenSource {
        let token = token.into();
        TokenSource::new(move || std::future::ready(Ok(token.clone())))
    }

    /// Asks for a token. The error is the source's, as text for people.
    pub fn get(&self) -> BoxFuture<'static, Result<String, String>> {
        (self.0)()
    }
}

/// Never prints a token.
impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource")
    }
}
