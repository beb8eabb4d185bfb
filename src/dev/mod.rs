//! The `dev` command's surroundings: a ready pool, tokens for it, a demo page. Never part of `serve`.

mod page;
mod wakes;

use std::fmt;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

pub use page::routes;
pub use wakes::{APP, wakes};

use crate::auth::{DEVELOPMENT_SECRET, IssuerConfig, MintClaims, MintError, mint};

/// The pool's name.
pub const POOL: &str = "demo";

/// The issuer of its tokens.
pub const ISSUER: &str = "driftless-dev";

/// Their audience.
pub const AUDIENCE: &str = "demo";

/// The person that the examples are about.
pub const PERSON: &str = "alice";

/// How long a development token holds, in seconds.
pub const TOKEN_S: u64 = 24 * 3600;

/// The pool's one issuer.
pub fn issuer() -> IssuerConfig {
    IssuerConfig {
        issuer: ISSUER.to_owned(),
        audience: vec![AUDIENCE.to_owned()],
        jwks_url: None,
        keys_file: None,
        secret: Some(DEVELOPMENT_SECRET.to_owned()),
    }
}

/// A token for a person of the pool.
pub fn token(subject: &str, expires_in_s: u64) -> Result<String, MintError> {
    mint_for(DEVELOPMENT_SECRET, ISSUER, AUDIENCE, subject, expires_in_s)
}

/// A token of an issuer with a shared secret, from now on.
pub fn mint_for(secret: &str, issuer: &str, audience: &str, subject: &str, expires_in_s: u64) -> Result<String, MintError> {
    let issued_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let expires_s = issued_s.saturating_add(expires_in_s);
    mint(secret, &MintClaims { issuer, audience, subject, issued_s, expires_s })
}

/// The operator key, as far as it may be shown.
pub enum Operator {
    /// The one that everybody knows.
    Public(&'static str),
    /// One that was configured.
    Configured,
}

/// What `dev` prints once it serves.
pub struct Banner {
    /// Where it listens.
    pub address: SocketAddr,
    /// A token for each of two devices of one person.
    pub tokens: [String; 2],
    /// For the operator's commands.
    pub key: Operator,
    /// The stand-in push gateway.
    pub gateway: String,
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Banner { address, tokens: [laptop, phone], key, gateway } = self;
        let url = if *address == SocketAddr::from(([127, 0, 0, 1], 7400)) { String::new() } else { format!(" --url http://{address}") };
        writeln!(f, "Driftless is ready: everything you write on one device is on disk, and on the others at once.\n")?;
        writeln!(f, "  demo page   http://{address}/demo/")?;
        writeln!(f, "  pool        {POOL}, person {PERSON}")?;
        writeln!(f, "  gateway     {gateway}, stands in for Apple, Google and browsers\n")?;
        writeln!(f, "Or in two more terminals:\n")?;
        writeln!(f, "  cargo run --release -- client watch settings --device laptop{url}")?;
        writeln!(f, "  cargo run --release -- client put settings theme=dark --device phone{url}\n")?;
        writeln!(f, "What changed, when and by which device; and a copy of everything, while it runs:\n")?;
        writeln!(f, "  cargo run --release -- history settings --subject {PERSON}{url}")?;
        writeln!(f, "  cargo run --release -- backup demo.backup{url}")?;
        writeln!(f, "  cargo run --release -- devices --subject {PERSON}{url}\n")?;
        match key {
            Operator::Public(key) => writeln!(f, "These and others ask with the operator key, which they know here:\n\n  {key}\n")?,
            Operator::Configured => {
                writeln!(f, "These and others ask with the operator key that was configured (admin.key): give it with --key.\n")?
            }
        }
        writeln!(f, "Tokens for your own client, valid for {} hours (for development only):\n", TOKEN_S / 3600)?;
        writeln!(f, "  laptop  {laptop}")?;
        writeln!(f, "  phone   {phone}\n")?;
        if !address.ip().is_loopback() {
            writeln!(f, "Careful: whoever reaches {address} can read and write everything here: the pool's secret is public.\n")?;
        }
        writeln!(f, "Stop with Ctrl-C.")
    }
}
