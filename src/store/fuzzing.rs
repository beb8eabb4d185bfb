//! Rows and journal files of any bytes, for the fuzz targets: they are decoded or refused, and what is decoded keeps its meaning.

use driftless_protocol::{DeviceId, Epoch};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::account_records::{
    GroupMember, IamGroup, IamRole, IamUser, InlinePolicy, ManagedPolicy, OidcProvider, PolicyAttachment, PolicyVersion, PrincipalId,
};
use super::accounts::{AccessKeyRow, AccountKeyRow, AccountNumberRow, AccountRow};
use super::buckets::{AccountBucketRow, BucketRow};
use super::engine::Bytes;
use super::history_row::{HistoryEntry, HistoryRow, OwnedHistoryRow};
use super::objects::{BlobUse, StoredObject, StoredPart, Upload};
use super::pieces::{self, RowContent};
use super::pools::StoredPool;
use super::push::{DebtRow, DeliveryLogRow, PushBudgetRow, RegistrationRow};
use super::rewind::RewindRow;
use super::rows::{
    self, AckRow, ConflictRow, DeviceRow, HeadRow, IdentityRow, JobRow, LineageRow, LoginRow, PatchRow, PointerRow, RecordRow, TombstoneRow,
};
use super::user_pools::{ClientPoolRow, UserPool, UserPoolClient};
use super::users::{AliasRow, Family, StoredCode, User};
use super::{Identity, StoreError, engine, export_entries, index_rows, keys, row_kinds::RowKind};

pub use engine::check_journal;

/// The first byte is the letter of a kind, the second the length of the key behind the identity; the key and the row follow.
pub fn check_rows(input: &[u8]) {
    let Some((&[letter, length], rest)) = input.split_first_chunk() else { return };
    let (key, row) = rest.split_at(rest.len().min(length.into()));
    let kind = RowKind::all().find(|kind| kind.letter() == letter);
    let Some(kind) = kind.or_else(|| RowKind::all().nth(usize::from(letter) % RowKind::all().count())) else { return };
    check_key(kind, key, row);
    check_contents(kind, row);
    engine::check_frame(key, row);
}

/// Whatever reads keys takes any.
fn check_key(kind: RowKind, key: &[u8], row: &[u8]) {
    assert!(key.len() >= keys::owner(key).len());
    let _ = kind.is_of(key);
    let identity = Identity::from("local:1");
    let key = [keys::of_identity(kind, &identity).as_slice(), key].concat();
    assert!(keys::owner(&key).len() <= key.len());
    let _ = index_rows::index_key(kind, &identity, &key, row);
    let _ = export_entries::entry(kind, &identity, &key, row);
}

fn check_contents(kind: RowKind, row: &[u8]) {
    match kind {
        RowKind::Identity => check_row::<IdentityRow>(row),
        RowKind::IdentityLogin => check_encoding(row, |row| LoginRow::decode(row)?.encode()),
        RowKind::Device => check_row::<DeviceRow>(row),
        RowKind::Head => check_row::<HeadRow>(row),
        RowKind::Record => check_encoding(row, |row| RecordRow::of(&rows::decode_record(row)?).encode()),
        RowKind::History => check_encoding(row, history),
        RowKind::Conflict => check_row::<ConflictRow>(row),
        RowKind::Ack => check_row::<AckRow>(row),
        RowKind::Patch => check_row::<PatchRow>(row),
        RowKind::Registration => check_row::<RegistrationRow>(row),
        RowKind::DeliveryLog => check_row::<DeliveryLogRow>(row),
        RowKind::PushBudget => check_row::<PushBudgetRow>(row),
        RowKind::Debt => check_row::<DebtRow>(row),
        RowKind::Pointer => check_row::<PointerRow>(row),
        RowKind::Tombstone => check_row::<TombstoneRow>(row),
        RowKind::Job => check_row::<JobRow>(row),
        RowKind::Rewind => check_row::<RewindRow>(row),
        RowKind::Login => check_row::<String>(row),
        RowKind::TokenBinding => check_row::<(String, DeviceId)>(row),
        RowKind::ReapDue | RowKind::WakeDue => check_pieces(row),
        RowKind::Account => check_row::<AccountRow>(row),
        RowKind::AccountKey => check_row::<AccountKeyRow>(row),
        RowKind::IdentityPool => check_row::<StoredPool>(row),
        RowKind::IamUser => check_row::<IamUser>(row),
        RowKind::IamGroup => check_row::<IamGroup>(row),
        RowKind::IamRole => check_row::<IamRole>(row),
        RowKind::ManagedPolicy => check_row::<ManagedPolicy>(row),
        RowKind::PolicyVersion => check_row::<PolicyVersion>(row),
        RowKind::InlinePolicy => check_row::<InlinePolicy>(row),
        RowKind::PolicyAttachment => check_row::<PolicyAttachment>(row),
        RowKind::GroupMember => check_row::<GroupMember>(row),
        RowKind::PrincipalId => check_row::<PrincipalId>(row),
        RowKind::OidcProvider => check_row::<OidcProvider>(row),
        RowKind::AccessKey => check_row::<AccessKeyRow>(row),
        RowKind::AccountNumber => check_row::<AccountNumberRow>(row),
        RowKind::AccountBucket => check_row::<AccountBucketRow>(row),
        RowKind::Bucket => check_row::<BucketRow>(row),
        RowKind::Object => check_row::<StoredObject>(row),
        RowKind::Upload => check_row::<Upload>(row),
        RowKind::Part => check_row::<StoredPart>(row),
        RowKind::Blob => check_row::<BlobUse>(row),
        RowKind::UserPool => check_row::<UserPool>(row),
        RowKind::UserPoolClient => check_row::<UserPoolClient>(row),
        RowKind::User => check_row::<User>(row),
        RowKind::UserCode => check_row::<StoredCode>(row),
        RowKind::Family => check_row::<Family>(row),
        RowKind::AccountUserPool => check_row::<()>(row),
        RowKind::ClientPool => check_row::<ClientPoolRow>(row),
        RowKind::UserAlias => check_row::<AliasRow>(row),
        // The keyring reads them, which refuses what it has not written.
        RowKind::Keyring | RowKind::PoolSigningKey => {}
        RowKind::Meta => {
            check_row::<Epoch>(row);
            check_row::<LineageRow>(row);
            check_row::<u32>(row);
        }
    }
}

fn check_row<R: DeserializeOwned + Serialize>(row: &[u8]) {
    check_encoding(row, |row| rows::encode(&rows::decode::<R>(row)?));
}

/// What is decoded and encoded is decoded to the same: its bytes do not change any more.
fn check_encoding(row: &[u8], encode_again: impl Fn(&[u8]) -> Result<Bytes, StoreError>) {
    match encode_again(row) {
        Ok(encoded) => assert_eq!(encode_again(&encoded).as_ref(), Ok(&encoded), "a row that was written is read"),
        Err(StoreError::Damaged(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

fn history(row: &[u8]) -> Result<Bytes, StoreError> {
    let (at_ms, row) = OwnedHistoryRow::decode(row)?;
    let OwnedHistoryRow { device, origin, entries, not_taken } = &row;
    let entries = entries.iter().map(|entry| HistoryEntry {
        key: &entry.key,
        is_live: entry.is_live,
        before: entry.before.as_ref().map(|row| row.0.as_slice()),
    });
    let row = HistoryRow { device, origin, entries: entries.collect(), not_taken };
    Ok(row.content(at_ms)?.to_vec())
}

/// A content of pieces that each claim any number of them.
fn check_pieces(row: &[u8]) {
    let (first, more) = row.split_at(row.len() / 2);
    let joined = RowContent::join(first.to_vec(), |piece| {
        if usize::from(piece) > more.len() { Err(StoreError::Damaged("a missing piece".to_owned())) } else { Ok(more.to_vec()) }
    });
    if let Ok(content) = joined {
        let mut rows = Vec::new();
        let count = pieces::cut(b"key", content, &mut rows);
        assert_eq!(usize::from(count), rows.len());
    }
}
