//! The commands about accounts and the access keys of their roots.

use std::collections::BTreeMap;

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::admin_client::{AdminClient, ServerArgs, percent_encoded};
use super::error::OperatorError;
use super::output::{ResultFormat, line, table, utc};

#[derive(clap::Subcommand)]
pub enum AccessCommand {
    /// Makes an account, and prints the access key of its root: the secret is shown this once
    Init {
        /// What the account is called
        #[arg(long, value_name = "NAME")]
        account: String,
        /// Its id, twelve digits [default: random]
        #[arg(long, value_name = "DIGITS")]
        id: Option<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Lists the accounts
    Accounts {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Lists the access keys of an account's root
    Keys {
        /// The account's id
        account: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Makes a second access key of an account's root; delete the first one once nothing uses it any more
    Rotate {
        /// The account's id
        account: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Refuses what is signed with an access key, until it is enabled again
    Disable {
        /// The account's id
        account: String,
        /// The access key's id
        access_key: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Accepts again what is signed with an access key
    Enable {
        /// The account's id
        account: String,
        /// The access key's id
        access_key: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Says whether a user, a role or the root may do something, and which policy decides
    Explain {
        /// The account's id
        account: String,
        /// Who: root, user/NAME or role/NAME
        principal: String,
        /// What, such as s3:GetObject
        action: String,
        /// On what: an ARN, or * for an action without resources
        resource: String,
        /// A context key of the request, as aws:SourceIp=192.0.2.1. Can be repeated
        #[arg(long = "context", value_name = "KEY=VALUE", value_parser = context_key)]
        context: Vec<(String, String)>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Deletes an access key for good
    DeleteKey {
        /// The account's id
        account: String,
        /// The access key's id
        access_key: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

#[derive(Deserialize)]
struct AccountsResponse {
    accounts: Vec<AccountEntry>,
}

#[derive(Deserialize)]
struct AccountEntry {
    account: String,
    name: String,
    made_ms: u64,
}

#[derive(Deserialize)]
struct ExplainResponse {
    allowed: bool,
    why: String,
    policy: Option<String>,
    statement: Option<String>,
}

#[derive(Deserialize)]
struct KeysResponse {
    keys: Vec<KeyEntry>,
}

#[derive(Deserialize)]
struct KeyEntry {
    access_key_id: String,
    active: bool,
    made_ms: u64,
}

#[derive(Deserialize)]
struct NewKeyResponse {
    account: String,
    access_key_id: String,
    secret_access_key: String,
}

pub(super) async fn run(command: AccessCommand, development_key: &str) -> Result<(), OperatorError> {
    let client = |server: ServerArgs| server.client(development_key);
    match command {
        AccessCommand::Init { account, id, server } => {
            new_key(&client(server)?, "access/accounts", &json!({ "name": account, "id": id })).await
        }
        AccessCommand::Rotate { account, server } => new_key(&client(server)?, &keys_path(&account), &json!({})).await,
        AccessCommand::Accounts { server } => accounts(&client(server)?).await,
        AccessCommand::Keys { account, server } => keys(&client(server)?, &account).await,
        AccessCommand::Disable { account, access_key, server } => set_status(&client(server)?, &account, &access_key, false).await,
        AccessCommand::Enable { account, access_key, server } => set_status(&client(server)?, &account, &access_key, true).await,
        AccessCommand::Explain { account, principal, action, resource, context, server } => {
            let context: BTreeMap<String, String> = context.into_iter().collect();
            let body = json!({ "principal": principal, "action": action, "resource": resource, "context": context });
            explain(&client(server)?, &account, &body).await
        }
        AccessCommand::DeleteKey { account, access_key: key, server } => {
            let server = client(server)?;
            let answer = server.answer(Method::DELETE, &key_path(&account, &key), &json!({})).await?;
            print(&server, &answer, || line(&format!("access key {key} is deleted")))
        }
    }
}

/// `KEY=VALUE`
fn context_key(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| "it must be KEY=VALUE".to_owned())
}

async fn explain(server: &AdminClient, account: &str, body: &Value) -> Result<(), OperatorError> {
    let answer = server.answer(Method::POST, &format!("access/accounts/{}/explain", percent_encoded(account)), body).await?;
    let ExplainResponse { allowed, why, policy, statement } = server.typed(&answer)?;
    print(server, &answer, || {
        line(&format!("{}: {why}", if allowed { "allowed" } else { "denied" }))?;
        match (policy, statement) {
            (Some(policy), Some(statement)) => line(&format!("policy {policy}, statement {statement}")),
            _ => Ok(()),
        }
    })
}

fn keys_path(account: &str) -> String {
    format!("access/accounts/{}/keys", percent_encoded(account))
}

fn key_path(account: &str, key: &str) -> String {
    format!("{}/{}", keys_path(account), percent_encoded(key))
}

fn print(server: &AdminClient, answer: &Value, text: impl FnOnce() -> Result<(), OperatorError>) -> Result<(), OperatorError> {
    match server.format {
        ResultFormat::Json => line(&answer.to_string()),
        ResultFormat::Text => text(),
    }
}

/// Makes a key, and prints it as the lines that a shell takes.
async fn new_key(server: &AdminClient, path: &str, body: &Value) -> Result<(), OperatorError> {
    let answer = server.answer(Method::POST, path, body).await?;
    let NewKeyResponse { account, access_key_id, secret_access_key } = server.typed(&answer)?;
    print(server, &answer, || {
        line(&format!("# account {account}; the secret is shown this once"))?;
        line(&format!("export AWS_ACCESS_KEY_ID={access_key_id}"))?;
        line(&format!("export AWS_SECRET_ACCESS_KEY={secret_access_key}"))
    })
}

async fn accounts(server: &AdminClient) -> Result<(), OperatorError> {
    let answer: Value = server.get("access/accounts").await?;
    let AccountsResponse { accounts } = server.typed(&answer)?;
    print(server, &answer, || {
        let mut rows = vec![["account", "name", "made"].map(str::to_owned)];
        rows.extend(accounts.into_iter().map(|one| [one.account, one.name, utc(one.made_ms)]));
        line(&table(&rows))
    })
}

async fn keys(server: &AdminClient, account: &str) -> Result<(), OperatorError> {
    let answer: Value = server.get(&keys_path(account)).await?;
    let KeysResponse { keys } = server.typed(&answer)?;
    print(server, &answer, || {
        let mut rows = vec![["access key", "state", "made"].map(str::to_owned)];
        let state = |active| if active { "active" } else { "disabled" }.to_owned();
        rows.extend(keys.into_iter().map(|one| [one.access_key_id, state(one.active), utc(one.made_ms)]));
        line(&table(&rows))
    })
}

async fn set_status(server: &AdminClient, account: &str, key: &str, active: bool) -> Result<(), OperatorError> {
    let answer = server.answer(Method::POST, &format!("{}/status", key_path(account, key)), &json!({ "active": active })).await?;
    print(server, &answer, || line(&format!("access key {key} is {}", if active { "active" } else { "disabled" })))
}
