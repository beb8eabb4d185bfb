//! Whose data is meant: an identity, or a person who is looked up.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Failure;
use super::server::{Server, part};

/// The pool of `driftless dev`.
pub(super) const POOL: &str = "demo";

/// Whose.
#[derive(clap::Args)]
pub struct Who {
    /// Whose, as `region:uuid`
    #[arg(value_name = "IDENTITY", conflicts_with = "subject")]
    identity: Option<String>,
    /// Whose, by the person's login: the `sub` of their tokens
    #[arg(long)]
    subject: Option<String>,
    /// The pool of that login
    #[arg(long, default_value = POOL)]
    pool: String,
}

/// A login that was found.
#[derive(Deserialize)]
pub(super) struct Found {
    pub issuer: String,
    pub identity: String,
}

#[derive(Deserialize)]
struct Logins {
    logins: Vec<Found>,
}

impl Who {
    /// The identity that is meant.
    pub(super) async fn identity(self, server: &Server) -> Result<String, Failure> {
        let subject = match (self.identity, self.subject) {
            (Some(identity), _) => return Ok(identity),
            (None, Some(subject)) => subject,
            (None, None) => {
                let what = "say whose: an identity, region:uuid, or a person's login with --subject NAME, and --pool if it is not demo";
                return Err(Failure::Input(what.to_owned()));
            }
        };
        let identities: BTreeSet<String> = logins(server, &self.pool, &subject).await?.into_iter().map(|login| login.identity).collect();
        match identities.len() {
            1 => Ok(identities.into_iter().next().unwrap_or_default()),
            0 => Err(Failure::Input(format!(
                "nobody with the subject {subject} has signed in to the pool {}; name another with --pool",
                self.pool
            ))),
            _ => {
                let list: Vec<String> = identities.into_iter().collect();
                Err(Failure::Input(format!("{subject} is several identities, name one of them:\n  {}", list.join("\n  "))))
            }
        }
    }
}

/// The logins with a subject, one for each issuer.
pub(super) async fn logins(server: &Server, pool: &str, subject: &str) -> Result<Vec<Found>, Failure> {
    let found: Logins = server.get(&format!("identities?pool={}&subject={}", part(pool), part(subject))).await?;
    Ok(found.logins)
}
