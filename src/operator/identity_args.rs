//! The arguments that name an identity, either directly or by a person's login.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::admin_client::{AdminClient, percent_encoded};
use super::error::OperatorError;
use super::pools;

#[derive(clap::Args)]
pub struct IdentityArgs {
    /// The identity, `region:uuid`
    #[arg(value_name = "IDENTITY", conflicts_with = "subject")]
    identity: Option<String>,
    /// Instead of the identity: a person's login, the `sub` of their tokens
    #[arg(long)]
    subject: Option<String>,
    /// The pool of that login [default: the server's only pool]
    #[arg(long)]
    pool: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct LoginEntry {
    pub issuer: String,
    pub identity: String,
}

#[derive(Deserialize)]
struct LoginsResponse {
    logins: Vec<LoginEntry>,
}

impl IdentityArgs {
    /// The identity that the arguments name; looks the login up if they name one.
    pub(super) async fn resolve(self, server: &AdminClient) -> Result<String, OperatorError> {
        let subject = match (self.identity, self.subject) {
            (Some(identity), _) => return Ok(identity),
            (None, Some(subject)) => subject,
            (None, None) => {
                let why = "name an identity, region:uuid, or a person's login with --subject NAME";
                return Err(OperatorError::Input(why.to_owned()));
            }
        };
        let pool = pools::pool(server, self.pool).await?;
        let identities: BTreeSet<String> = find_logins(server, &pool, &subject).await?.into_iter().map(|login| login.identity).collect();
        match identities.len() {
            1 => Ok(identities.into_iter().next().unwrap_or_default()),
            0 => Err(nobody(&pool, &subject)),
            _ => {
                let list: Vec<String> = identities.into_iter().collect();
                Err(OperatorError::Input(format!("{subject} has several identities, name one of them:\n  {}", list.join("\n  "))))
            }
        }
    }
}

/// No login of the pool has this subject.
pub(super) fn nobody(pool: &str, subject: &str) -> OperatorError {
    OperatorError::Failed(format!("no one with the subject {subject} has signed in to the pool {pool}; name another pool with --pool"))
}

/// The logins with a subject, one for each issuer.
pub(super) async fn find_logins(server: &AdminClient, pool: &str, subject: &str) -> Result<Vec<LoginEntry>, OperatorError> {
    let response: LoginsResponse =
        server.get(&format!("identities?pool={}&subject={}", percent_encoded(pool), percent_encoded(subject))).await?;
    Ok(response.logins)
}
