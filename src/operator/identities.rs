//! The commands about logins and the identities that they lead to.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::admin_client::{AdminClient, percent_encoded};
use super::error::OperatorError;
use super::identity_args::{LoginEntry, find_logins, nobody};
use super::output::{ResultFormat, line, size, table, utc};
use super::pools;
use crate::client::note;

#[derive(Deserialize)]
pub(super) struct SummaryResponse {
    pub pool: String,
    pub merged: Vec<String>,
    /// 0 below 64 KiB.
    pub owned_bytes: u64,
    pub datasets: Vec<DatasetEntry>,
}

#[derive(Deserialize)]
pub(super) struct DatasetEntry {
    pub dataset: String,
    pub version: u64,
    pub records: u64,
    pub bytes: u64,
}

pub(super) async fn summary(server: &AdminClient, identity: &str) -> Result<SummaryResponse, OperatorError> {
    server.get(&format!("identities/{}", percent_encoded(identity))).await
}

/// Prints the identities of a subject with their datasets.
pub(super) async fn find(server: &AdminClient, pool: Option<String>, subject: &str) -> Result<(), OperatorError> {
    let pool = pools::pool(server, pool).await?;
    let found = find_logins(server, &pool, subject).await?;
    if found.is_empty() {
        return Err(nobody(&pool, subject));
    }
    if server.format == ResultFormat::Json {
        return find_as_json(server, subject, &found).await;
    }
    for login in found {
        line(&format!("{}   login {subject} of {}", login.identity, login.issuer))?;
        let summary = summary(server, &login.identity).await?;
        for merged in &summary.merged {
            line(&format!("  {merged} was merged into it"))?;
        }
        if summary.owned_bytes > 0 {
            line(&format!("  it owns {} with history and tombstones", size(summary.owned_bytes)))?;
        }
        let mut rows = vec![["  dataset", "version", "records", "size"].map(str::to_owned)];
        rows.extend(
            summary
                .datasets
                .iter()
                .map(|one| [format!("  {}", one.dataset), one.version.to_string(), one.records.to_string(), size(one.bytes)]),
        );
        line(&table(&rows))?;
    }
    Ok(())
}

async fn find_as_json(server: &AdminClient, subject: &str, found: &[LoginEntry]) -> Result<(), OperatorError> {
    let mut identities = Vec::new();
    for login in found {
        let summary: Value = server.get(&format!("identities/{}", percent_encoded(&login.identity))).await?;
        let _: SummaryResponse = server.typed(&summary)?;
        let mut identity = json!({ "issuer": login.issuer, "subject": subject });
        if let (Some(identity), Value::Object(summary)) = (identity.as_object_mut(), summary) {
            identity.extend(summary);
        }
        identities.push(identity);
    }
    line(&json!({ "identities": identities }).to_string())
}

/// Which logins `identities list` prints.
#[derive(clap::Args)]
pub struct ListArgs {
    /// The pool [default: the server's only pool]
    #[arg(long)]
    pool: Option<String>,
    /// Only logins of this issuer: the `iss` of their tokens
    #[arg(long)]
    issuer: Option<String>,
    /// Only logins whose subject, the `sub` of their tokens, begins with this text
    #[arg(long, value_name = "PREFIX", default_value = "")]
    login: String,
    /// How many, at most 1000
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    /// Go on where an earlier list ended
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
}

#[derive(Deserialize)]
struct LoginsPageResponse {
    logins: Vec<ListedLoginEntry>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct ListedLoginEntry {
    issuer: String,
    subject: String,
    identity: String,
    created_ms: u64,
}

/// Prints a page of logins, each with the identity that it leads to.
pub(super) async fn list(server: &AdminClient, args: ListArgs) -> Result<(), OperatorError> {
    let pool = pools::pool(server, args.pool).await?;
    let mut path = format!("logins?pool={}&prefix={}&limit={}", percent_encoded(&pool), percent_encoded(&args.login), args.limit);
    for (name, value) in [("issuer", &args.issuer), ("after", &args.after)] {
        if let Some(value) = value {
            path += &format!("&{name}={}", percent_encoded(value));
        }
    }
    server.show(&path, print_logins).await
}

fn print_logins(page: LoginsPageResponse) -> Result<(), OperatorError> {
    let mut rows = vec![["identity", "made (UTC)", "issuer", "login"].map(str::to_owned)];
    rows.extend(page.logins.into_iter().map(|one| [one.identity, utc(one.created_ms), one.issuer, one.subject]));
    line(&table(&rows))?;
    if let Some(next) = page.next {
        note(&format!("there may be more; go on with --after {next}"));
    }
    Ok(())
}

#[derive(Deserialize)]
struct LinkedResponse {
    #[serde(rename = "identity")]
    _identity: String,
}

/// Links a login to an identity.
pub(super) async fn link(server: &AdminClient, identity: &str, issuer: &str, subject: &str) -> Result<(), OperatorError> {
    let path = format!("identities/{}/logins", percent_encoded(identity));
    let print = |_: LinkedResponse| line(&format!("the login {subject} of {issuer} leads to {identity}"));
    server.act(Method::POST, &path, &json!({ "issuer": issuer, "subject": subject }), print).await
}
