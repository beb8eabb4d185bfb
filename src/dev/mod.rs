//! What `driftless dev` adds to the server: a configured pool, tokens for it, and the demo page. Never part of `serve`.

mod addresses;
mod page;
mod wakes;

use std::fmt;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

pub use addresses::{local_address, outside_addresses};
pub use page::routes;
pub use wakes::{APP, wakes};

use crate::auth::{DEVELOPMENT_SECRET, IssuerConfig, MintClaims, MintError, mint, shared_secret};
use crate::invocation;

/// The bucket of the development account.
pub const BUCKET: &str = "demo";

/// The name of the development pool.
pub const POOL: &str = "demo";

/// The pool's token issuer.
pub const ISSUER: &str = "driftless-dev";

/// The audience of the pool's tokens.
pub const AUDIENCE: &str = "demo";

/// The person in the examples and on the demo page.
pub const PERSON: &str = "alice";

/// The lifetime of a development token, in seconds.
pub const TOKEN_S: u64 = 24 * 3600;

/// The region that AWS's clients sign for. The server accepts any; clients do not start without one.
const REGION: &str = "local";

/// The URL at which commands look for a server if they are not told another one.
const DEFAULT_URL: &str = "http://127.0.0.1:7400";

/// The configuration of the pool's issuer.
pub fn issuer() -> IssuerConfig {
    IssuerConfig {
        issuer: ISSUER.to_owned(),
        audience: vec![AUDIENCE.to_owned()],
        secret: Some(DEVELOPMENT_SECRET.to_owned()),
        ..IssuerConfig::default()
    }
}

/// Signs a token for a person of the pool.
pub fn token(subject: &str, expires_in_s: u64) -> Result<String, MintError> {
    mint_for(DEVELOPMENT_SECRET, ISSUER, AUDIENCE, subject, expires_in_s)
}

/// The secret with which tokens of a configured issuer can be signed, if it has one. Blocks: the secret may stand in a file.
pub fn secret_of(issuer: &IssuerConfig) -> Result<Option<String>, String> {
    shared_secret(issuer).map_err(|problem| format!("issuer {:?}: {problem}", issuer.issuer))
}

/// Signs a token of an issuer with a shared secret, issued now.
pub fn mint_for(secret: &str, issuer: &str, audience: &str, subject: &str, expires_in_s: u64) -> Result<String, MintError> {
    let issued_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let expires_s = issued_s.saturating_add(expires_in_s);
    mint(secret, &MintClaims { issuer, audience, subject, issued_s, expires_s })
}

/// The operator key, if it may be printed.
pub enum BannerKey {
    /// The public development key.
    Public(&'static str),
    /// A configured key, which is secret.
    Configured,
}

/// The access key of the development account's root, if it may be printed.
pub enum BannerAccessKey {
    /// The public development key.
    Public { id: &'static str, secret: &'static str },
    /// The root has other keys, which are secret.
    Configured,
}

/// What `dev` prints when the server is ready.
pub struct Banner {
    /// The address that the server listens on.
    pub address: SocketAddr,
    /// Tokens for the person's laptop and phone.
    pub tokens: [String; 2],
    /// The key for the operator's commands.
    pub key: BannerKey,
    /// The access key for AWS's clients.
    pub access_key: BannerAccessKey,
    /// The stand-in push gateway's URL.
    pub gateway: String,
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Banner { address, tokens: [laptop, phone], key, access_key, gateway } = self;
        let program = invocation::name();
        let (address, outside) = (local_address(*address), outside_addresses(address.ip()));
        let server = format!("http://{address}");
        let url = if server == DEFAULT_URL { String::new() } else { format!(" --url {server}") };
        writeln!(f, "Driftless is ready: what you write on one device is stored on disk and sent to the other devices at once.\n")?;
        writeln!(f, "  demo page   {server}/demo/")?;
        for other in &outside {
            writeln!(f, "              http://{}/demo/ from another device", SocketAddr::new(*other, address.port()))?;
        }
        writeln!(f, "  pool        {POOL}, person {PERSON}")?;
        writeln!(f, "  gateway     {gateway}, a stand-in for the push services of Apple, Google and browsers\n")?;
        writeln!(f, "Or in two more terminals:\n")?;
        writeln!(f, "  {program} client watch settings --device laptop{url}")?;
        writeln!(f, "  {program} client put settings theme=dark --device phone{url}\n")?;
        writeln!(f, "To see the history of a dataset, back up the running server, and list devices:\n")?;
        writeln!(f, "  {program} history settings --subject {PERSON}{url}")?;
        writeln!(f, "  {program} backup demo.backup{url}")?;
        writeln!(f, "  {program} devices --subject {PERSON}{url}\n")?;
        match key {
            BannerKey::Public(key) => writeln!(f, "The operator commands use the operator key. Here they know it already:\n\n  {key}\n")?,
            BannerKey::Configured => {
                writeln!(f, "The operator commands use the operator key. You have configured one (admin.key): pass it with --key.\n")?
            }
        }
        if let BannerAccessKey::Public { id, secret } = access_key {
            writeln!(f, "To call the server with AWS's command line:\n")?;
            writeln!(f, "  export AWS_ENDPOINT_URL={server}")?;
            writeln!(f, "  export AWS_DEFAULT_REGION={REGION}")?;
            writeln!(f, "  export AWS_ACCESS_KEY_ID={id}")?;
            writeln!(f, "  export AWS_SECRET_ACCESS_KEY={secret}")?;
            writeln!(f, "  aws sts get-caller-identity")?;
            writeln!(f, "  aws s3 cp FILE s3://{BUCKET}/\n")?;
        }
        writeln!(f, "Tokens for your own client, valid for {} hours, for development only:\n", TOKEN_S / 3600)?;
        writeln!(f, "  laptop  {laptop}")?;
        writeln!(f, "  phone   {phone}\n")?;
        if !outside.is_empty() {
            let keys = match (key, access_key) {
                (BannerKey::Public(_), BannerAccessKey::Public { .. }) => {
                    "the pool's secret, the operator key and the access key are public"
                }
                (BannerKey::Public(_), BannerAccessKey::Configured) => "the pool's secret and the operator key are public",
                (BannerKey::Configured, BannerAccessKey::Public { .. }) => "the pool's secret and the access key are public",
                (BannerKey::Configured, BannerAccessKey::Configured) => "the pool's secret is public",
            };
            writeln!(
                f,
                "Warning: everyone who can reach port {} can read, write and delete all data here, because {keys}.\n",
                address.port()
            )?;
        }
        writeln!(f, "Stop with Ctrl-C.")
    }
}
