//! What a client carries between calls: the token of a session, and where a list goes on. Both are sealed for one pool, identity and dataset.

use uuid::Uuid;

use super::refusal::{error, invalid};
use crate::aws::error::AwsError;
use crate::aws::rest::SyncCall;
use crate::aws::service::AwsWire;
use crate::aws::services::AwsServices;
use crate::keyring::{OpenError, TokenKind};

/// What a list's token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordsPlace {
    /// The reader has everything up to and with this version.
    pub version: u64,
    /// Inside a later version, the version and the ordinal of the next record.
    pub place: Option<(u64, u16)>,
    /// Tombstones up to this version are left out.
    pub deleted: u64,
    /// Whether the dataset was deleted after what the caller had when the list began.
    pub was_deleted: bool,
}

/// A token of a session with the dataset of a call, while it is at a version.
pub(super) fn new_session(services: &AwsServices, call: &SyncCall, version: u64) -> Result<String, AwsError> {
    let content = [Uuid::new_v4().as_bytes().as_slice(), &version.to_be_bytes()].concat();
    seal(services, TokenKind::SyncSession, &owner(call), &content)
}

/// Checks that a token is of a session with the dataset of a call.
pub(super) async fn check_session(services: &AwsServices, call: &SyncCall, token: &str) -> Result<(), AwsError> {
    let opened = open(services, TokenKind::SyncSession, &owner(call), token).await?;
    opened.map(|_| ()).ok_or_else(|| invalid("SyncSessionToken not valid for these inputs"))
}

/// Where a list of records goes on.
pub(super) fn next_records(services: &AwsServices, call: &SyncCall, at: RecordsPlace) -> Result<String, AwsError> {
    let (version, ordinal) = at.place.unwrap_or((0, 0));
    let flags = u8::from(at.place.is_some()) | u8::from(at.was_deleted) << 1;
    let numbers = [at.version, at.deleted, version].map(u64::to_be_bytes).concat();
    let content = [&[flags][..], &numbers, &ordinal.to_be_bytes()].concat();
    seal(services, TokenKind::NextToken, &owner(call), &content)
}

/// The place of [`next_records`].
pub(super) async fn records_place(services: &AwsServices, call: &SyncCall, token: &str) -> Result<RecordsPlace, AwsError> {
    let content = open(services, TokenKind::NextToken, &owner(call), token).await?.unwrap_or_default();
    parse_place(&content).ok_or_else(|| invalid("NextToken not valid for these inputs"))
}

fn parse_place(content: &[u8]) -> Option<RecordsPlace> {
    let (flags, rest) = content.split_first()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (deleted, rest) = rest.split_first_chunk()?;
    let (at, rest) = rest.split_first_chunk()?;
    let ordinal: [u8; 2] = rest.try_into().ok()?;
    let place = (flags & 1 != 0).then(|| (u64::from_be_bytes(*at), u16::from_be_bytes(ordinal)));
    Some(RecordsPlace { version: u64::from_be_bytes(*version), place, deleted: u64::from_be_bytes(*deleted), was_deleted: flags & 2 != 0 })
}

/// Where a list of names goes on: behind this one.
pub(super) fn next_name(services: &AwsServices, call: &SyncCall, name: &str) -> Result<String, AwsError> {
    seal(services, TokenKind::NextToken, &owner(call), name.as_bytes())
}

/// The name of [`next_name`].
pub(super) async fn name_place(services: &AwsServices, call: &SyncCall, token: &str) -> Result<String, AwsError> {
    let content = open(services, TokenKind::NextToken, &owner(call), token).await?;
    let name = content.and_then(|content| String::from_utf8(content).ok());
    name.ok_or_else(|| invalid("NextToken not valid for these inputs"))
}

/// What a token belongs to. No id and no name has a line feed in it; a list of datasets has no dataset.
fn owner(call: &SyncCall) -> Vec<u8> {
    [call.identity_pool_id.as_str(), &call.identity_id, &call.dataset_name].join("\n").into_bytes()
}

fn seal(services: &AwsServices, kind: TokenKind, owner: &[u8], content: &[u8]) -> Result<String, AwsError> {
    let (now_ms, life_ms) = (services.clock.unix_ms(), kind.longest_life_ms());
    let sealed = services.keyring.current().seal_text(kind, owner, now_ms, life_ms, content);
    sealed.map_err(|_| AwsError::internal(AwsWire::RestJson))
}

/// `None`: it is no such token, or its time is over.
async fn open(services: &AwsServices, kind: TokenKind, owner: &[u8], token: &str) -> Result<Option<Vec<u8>>, AwsError> {
    let opened = || services.keyring.current().open_text(kind, owner, services.clock.unix_ms(), token);
    let found = match opened() {
        // Another server of the same store may have made it. The caller is known, and its rate is bounded as for any call.
        Err(OpenError::UnknownGeneration) => {
            services
                .keyring
                .refresh()
                .await
                .map_err(|_| error("ServiceUnavailableException", "The server cannot do this now; try again"))?;
            opened()
        }
        found => found,
    };
    Ok(found.ok().map(|content| content.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_whole_or_not_at_all() {
        for length in (0..27).chain([28, 100]) {
            assert_eq!(parse_place(&vec![1; length]), None, "{length}");
        }
        let place = parse_place(&[3; 27]).expect("a place");
        assert!(place.was_deleted && place.place.is_some());
    }
}
