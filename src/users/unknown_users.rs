//! Names that are nobody's: what they are answered, and how often they were tried.
//!
//! A guesser must not learn who is there by being locked out, or by not being: so wrong passwords and codes count for unknown users too. They count in memory,
//! in a table of fixed size, so that no name that somebody thinks up leaves a row.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};

use super::attributes::{EMAIL, masked};
use super::code::{self, CodeTry};
use super::names::CodeDelivery;
use super::names::fold;
use super::tries::{after_failure, is_locked};
use crate::keyring::{CryptoFailed, SecretKey};
use crate::store::{CodeUse, StoredCode, Tries, UserPool, UserPoolId, UsernameKind};
use uuid::Uuid;

/// Names that are remembered: some 10 MiB. When the table is full it is emptied, which gives a guesser of that many names five more tries each.
const MOST_NAMES: usize = 65_536;

type Name = [u8; 32];

/// The unknown users of all pools.
#[derive(Default)]
pub struct UnknownUsers {
    tries: Mutex<HashMap<Name, Tries>>,
    codes: Mutex<HashMap<Name, StoredCode>>,
}

fn name(pool: &UserPoolId, text: &str) -> Name {
    let mut hash = Context::new(&SHA256);
    [pool.as_str(), "\0", text].iter().for_each(|part| hash.update(part.as_bytes()));
    let mut name = [0; 32];
    name.copy_from_slice(hash.finish().as_ref());
    name
}

fn kept<V>(table: &mut HashMap<Name, V>, name: Name, value: V) {
    if table.len() >= MOST_NAMES && !table.contains_key(&name) {
        table.clear();
    }
    table.insert(name, value);
}

impl UnknownUsers {
    pub fn is_locked(&self, pool: &UserPoolId, text: &str, now_ms: u64) -> bool {
        let tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.get(&name(pool, text)).is_some_and(|tries| is_locked(*tries, now_ms))
    }

    /// Counts a wrong password.
    pub fn failed(&self, pool: &UserPoolId, text: &str, now_ms: u64) {
        let name = name(pool, text);
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tries.get(&name).copied().unwrap_or_default();
        kept(&mut tries, name, after_failure(known, now_ms));
    }

    /// Counts a code that is not sent; whether one would have been.
    pub fn sent(&self, pool: &UserPoolId, text: &str, code: CodeUse, now_ms: u64) -> bool {
        let name = name(pool, &format!("{}\0{text}", code.name()));
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let row = code::sent(codes.get(&name), code, ("", ""), vec![0; 32], now_ms);
        let is_sent = row.is_some();
        if let Some(row) = row {
            kept(&mut codes, name, row);
        }
        is_sent
    }

    /// Counts a code that is tried, which is always wrong.
    pub fn tried(&self, pool: &UserPoolId, text: &str, code: CodeUse, now_ms: u64) -> CodeTry {
        let name = name(pool, &format!("{}\0{text}", code.name()));
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(row) = codes.get(&name) else { return CodeTry::Expired };
        let (outcome, row) = code::tried(row, b"", now_ms);
        kept(&mut codes, name, row);
        outcome
    }
}

/// USER_ID_FOR_SRP of a name that is nobody's: where users sign in by another name than their own, a UUID that stays the same.
pub fn srp_name(secret: &SecretKey, pool_id: &UserPoolId, pool: &UserPool, text: &str) -> Result<String, CryptoFailed> {
    let folded = fold(&pool.settings, text);
    let by_other_name = matches!(pool.settings.usernames, UsernameKind::Attribute { .. })
        || (!pool.settings.aliases.is_empty() && text.contains(['@', '+']));
    if !by_other_name || Uuid::parse_str(text).is_ok() {
        return Ok(folded);
    }
    let mut bytes = [0; 16];
    secret.expand(&[b"driftless unknown_user 1:", pool_id.as_str().as_bytes(), b":", folded.as_bytes()], &mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
}

/// Where a code would be sent, if the name were somebody's.
pub fn delivery(secret: &SecretKey, pool_id: &UserPoolId, text: &str) -> Result<CodeDelivery, CryptoFailed> {
    let mut bytes = [0; 2];
    secret.expand(&[b"driftless unknown user's address 1:", pool_id.as_str().as_bytes(), b":", text.as_bytes()], &mut bytes)?;
    let letter = |byte: u8| char::from(b'a' + byte % 26);
    let address = match text.split_once('@') {
        Some(_) => text.to_owned(),
        None => format!("{}@{}", letter(bytes[0]), letter(bytes[1])),
    };
    Ok(CodeDelivery { attribute: EMAIL.to_owned(), destination: masked(EMAIL, &address) })
}
