//! What a device must be told before it can connect.

use std::fmt;
use std::sync::Arc;

use driftless_protocol::{Codec, DeviceId};
use futures_util::future::BoxFuture;

use crate::{Address, AddressError};

/// How a device reaches its server and who it is there.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the server is.
    pub address: Address,
    /// This installation's id, chosen once and kept.
    pub device: DeviceId,
    /// Where its tokens come from.
    pub tokens: Tokens,
    /// How messages are encoded.
    pub codec: Codec,
    /// Name and version of the app or library, at most 128 bytes; for the server's log only.
    pub client: String,
    /// Whose certificates are trusted.
    pub tls: Tls,
}

impl Settings {
    /// Settings with MessagePack, this library's name and the usual certificate authorities.
    pub fn new(url: &str, device: DeviceId, tokens: Tokens) -> Result<Settings, AddressError> {
        let client = concat!("driftless-rust/", env!("CARGO_PKG_VERSION")).to_owned();
        Ok(Settings { address: Address::parse(url)?, device, tokens, codec: Codec::MsgPack, client, tls: Tls::Roots })
    }
}

/// Whose certificates are trusted when the address is encrypted.
#[derive(Clone)]
pub enum Tls {
    /// Those of the system's authorities and of the usual public ones.
    Roots,
    /// As this configuration says, for instance for a private authority.
    Custom(Arc<rustls::ClientConfig>),
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tls::Roots => "Roots",
            Tls::Custom(_) => "Custom",
        })
    }
}

type Source = dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync;

/// Gives a token whenever one is needed: before each connection, and when the server says that the old one expires soon.
#[derive(Clone)]
pub struct Tokens(Arc<Source>);

impl Tokens {
    /// Tokens from a function, for instance one that asks the app's own server. An error is text for people and is tried again later.
    pub fn new<F, R>(source: F) -> Tokens
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, String>> + Send + 'static,
    {
        Tokens(Arc::new(move || Box::pin(source())))
    }

    /// Always the same token: the device is out when it expires.
    pub fn fixed(token: impl Into<String>) -> Tokens {
        let token = token.into();
        Tokens::new(move || std::future::ready(Ok(token.clone())))
    }

    /// Asks for a token.
    pub fn get(&self) -> BoxFuture<'static, Result<String, String>> {
        (self.0)()
    }
}

/// Prints no token.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}
