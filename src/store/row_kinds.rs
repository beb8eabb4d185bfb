//! The kinds of rows: one table with the letter of each kind, the owner of its rows, and whether an export has them.
//!
//! Rows live in one ordered key space (`keys` builds the keys). What an identity owns stands together, so that one write or one
//! sign-in reads one or two pages of the tree, however many identities there are. Kinds that are scanned across all identities
//! stand by kind.
//!
//! A new kind needs a variant and a line in the table, a key in `keys`, an entry in `export_entries` if an export has it, and the
//! key of its index row in `index_rows` if it has one. Erasing and exporting read the table: tests fail when a kind is missing
//! from it.

/// A kind of row. The comment of each variant gives the parts of its key after the letter, and what the row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowKind {
    /// No parts: the identity's pool, when it was made, and the merges it took part in.
    Identity,
    /// Pool, issuer, subject: a login of the identity.
    IdentityLogin,
    /// Device: when it was first and last seen, and whether it is revoked.
    Device,
    /// Dataset: its version, counts and bounds.
    Head,
    /// Dataset, version, ordinal, piece: a record as that version wrote it.
    Record,
    /// Dataset, version, piece: what that version replaced.
    History,
    /// Dataset, slot: a conflict.
    Conflict,
    /// Device, dataset: the version that the device acknowledged.
    Ack,
    /// Device, slot: how a patch was decided.
    Patch,
    /// Device: its push registration.
    Registration,
    /// Device, slot: an entry of its delivery log.
    DeliveryLog,
    /// Device: the versions that it was woken for, and its push budget.
    PushBudget,
    /// Dataset: a version that devices may not have acknowledged.
    Debt,
    /// Dataset, key: where the record's newest version stands.
    Pointer,
    /// Dataset, version, ordinal: where a tombstone stands.
    Tombstone,
    /// No parts: an erasure or a merge under way.
    Job,
    /// Dataset: a restore to an earlier version under way.
    Rewind,
    /// Pool, issuer, subject: the identity of a login.
    Login,
    /// Date, identity, dataset: when the reaper visits a dataset.
    ReapDue,
    /// Pool, family, hash: the device that registered a push token.
    TokenBinding,
    /// Date, identity, dataset: when the courier has the next round for a dataset.
    WakeDue,
    /// No parts: the account's name and number.
    Account,
    /// Access key id: whose key of the account it is.
    AccountKey,
    /// User: its id, its path, its groups and the policies that are attached to it.
    IamUser,
    /// Group: its id, its path and the policies that are attached to it.
    IamGroup,
    /// Role: its id, its path, who may assume it, and the policies that are attached to it.
    IamRole,
    /// Policy: its id, its path, and which of its versions is the default.
    ManagedPolicy,
    /// Policy, version: a document.
    PolicyVersion,
    /// Kind of principal, its name, policy: a document that is the principal's own.
    InlinePolicy,
    /// Policy, kind of principal, its name: that the policy is attached to it.
    PolicyAttachment,
    /// Group, user: that the user is in the group.
    GroupMember,
    /// Id of a user or role: its kind and name.
    PrincipalId,
    /// Issuer: a provider whose tokens the account's roles may trust.
    OidcProvider,
    /// Access key id: its account, its sealed secret, and whether it may be used.
    AccessKey,
    /// Number: the account that has it.
    AccountNumber,
    /// Name or id: what is remembered of an identity pool.
    IdentityPool,
    /// Bucket: a bucket that the account owns.
    AccountBucket,
    /// No parts: the bucket's account, when it was made, its policy and its rules for other origins.
    Bucket,
    /// Key, to the end: an object.
    Object,
    /// Key, and an id of fixed length: an upload in parts, under way or the parts of an object.
    Upload,
    /// Id of the upload, number: a part.
    Part,
    /// Id of the file: which object or part has its bytes there.
    Blob,
    /// No parts, under the user with no name: the user pool's settings.
    UserPool,
    /// Client, under the user with no name: the client's settings, and its sealed secret.
    UserPoolClient,
    /// The time from which on it signs, under the user with no name: a key pair, wrapped. The keyring says what the row means.
    PoolSigningKey,
    /// No parts: a user's attributes, state and sealed password.
    User,
    /// Use: a code that was sent to the user, and how often it was tried.
    UserCode,
    /// Family: one sign-in's chain of refresh tokens.
    Family,
    /// Account, user pool: that the account owns it.
    AccountUserPool,
    /// Client: its user pool.
    ClientPool,
    /// User pool, kind, value: the user whose other name it is.
    UserAlias,
    /// Name: a key of the keyring, wrapped. The keyring says what the name and the row mean.
    Keyring,
    /// Name: `epoch`, `lineage`, `format`, `unfinished`, `erasures` or `accounts`.
    Meta,
}

/// Who owns a row, and with it where the row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowOwner {
    /// An identity. The row stands with its other rows: `#`, the identity, the letter.
    Identity,
    /// An identity. The row stands by kind: the letter, the identity.
    IdentityByKind,
    /// An account. The row stands with its other rows: `@`, the account, the letter.
    Account,
    /// A bucket. The row stands with its other rows: `$`, the bucket, the letter.
    Bucket,
    /// A user pool or one of its users. The row stands with its other rows: `%`, the user pool, the user, the letter.
    UserPool,
    /// A row of this kind, which one of these owns. The index row stands by kind, and is written and deleted with its owner.
    IndexOf(RowKind),
    /// The store itself.
    Store,
}

/// How an identity's export has the rows of a kind: as a list of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExportList {
    /// One entry for each row.
    Rows(&'static str),
    /// One entry for each content that is cut into rows (`pieces`).
    Contents(&'static str),
    /// None: the row only says where other rows stand, or what the server has yet to do.
    Omitted,
}

/// The first byte of the keys that begin with an identity. No kind has it as its letter.
pub(super) const IDENTITY_MARK: u8 = b'#';

/// The first byte of the keys that begin with an account. No kind has it as its letter.
pub(super) const ACCOUNT_MARK: u8 = b'@';

/// The first byte of the keys that begin with a bucket. No kind has it as its letter.
pub(super) const BUCKET_MARK: u8 = b'$';
/// The first byte of the keys that begin with a user pool. No kind has it as its letter.
pub(super) const USER_POOL_MARK: u8 = b'%';

struct RowKindSpec {
    kind: RowKind,
    letter: u8,
    owner: RowOwner,
    export: ExportList,
}

const fn spec(kind: RowKind, letter: u8, owner: RowOwner, export: ExportList) -> RowKindSpec {
    RowKindSpec { kind, letter, owner, export }
}

/// In the order of the variants, which is that of an export's lists. A letter is on disk and never changes.
const TABLE: [RowKindSpec; 53] = [
    spec(RowKind::Identity, b'i', RowOwner::Identity, ExportList::Rows("identities")),
    spec(RowKind::IdentityLogin, b'o', RowOwner::Identity, ExportList::Rows("logins")),
    spec(RowKind::Device, b'd', RowOwner::Identity, ExportList::Rows("devices")),
    spec(RowKind::Head, b'h', RowOwner::Identity, ExportList::Rows("datasets")),
    spec(RowKind::Record, b'v', RowOwner::Identity, ExportList::Contents("records")),
    spec(RowKind::History, b'u', RowOwner::Identity, ExportList::Contents("history")),
    spec(RowKind::Conflict, b'x', RowOwner::Identity, ExportList::Rows("conflicts")),
    spec(RowKind::Ack, b'a', RowOwner::Identity, ExportList::Rows("acknowledged")),
    spec(RowKind::Patch, b'p', RowOwner::Identity, ExportList::Rows("patches")),
    spec(RowKind::Registration, b't', RowOwner::IdentityByKind, ExportList::Rows("push")),
    spec(RowKind::DeliveryLog, b'y', RowOwner::Identity, ExportList::Rows("delivery_log")),
    spec(RowKind::PushBudget, b'q', RowOwner::Identity, ExportList::Omitted),
    spec(RowKind::Debt, b'e', RowOwner::Identity, ExportList::Omitted),
    spec(RowKind::Pointer, b'k', RowOwner::Identity, ExportList::Omitted),
    spec(RowKind::Tombstone, b'g', RowOwner::Identity, ExportList::Omitted),
    spec(RowKind::Job, b'w', RowOwner::IdentityByKind, ExportList::Omitted),
    spec(RowKind::Rewind, b's', RowOwner::IdentityByKind, ExportList::Omitted),
    spec(RowKind::Login, b'l', RowOwner::IndexOf(RowKind::IdentityLogin), ExportList::Omitted),
    spec(RowKind::ReapDue, b'r', RowOwner::IndexOf(RowKind::Head), ExportList::Omitted),
    spec(RowKind::TokenBinding, b'n', RowOwner::IndexOf(RowKind::Registration), ExportList::Omitted),
    spec(RowKind::WakeDue, b'b', RowOwner::IndexOf(RowKind::Debt), ExportList::Omitted),
    spec(RowKind::Account, b'A', RowOwner::Account, ExportList::Omitted),
    spec(RowKind::AccountKey, b'C', RowOwner::Account, ExportList::Omitted),
    spec(RowKind::IamUser, b'U', RowOwner::Account, ExportList::Omitted),
    spec(RowKind::IamGroup, b'E', RowOwner::Account, ExportList::Omitted),
    spec(RowKind::IamRole, b'R', RowOwner::Account, ExportList::Omitted),
    spec(RowKind::ManagedPolicy, b'P', RowOwner::Account, ExportList::Omitted),
    spec(RowKind::PolicyVersion, b'V', RowOwner::Account, ExportList::Omitted),
    spec(RowKind::InlinePolicy, b'I', RowOwner::Account, ExportList::Omitted),
    spec(RowKind::PolicyAttachment, b'T', RowOwner::Account, ExportList::Omitted),
    spec(RowKind::GroupMember, b'M', RowOwner::Account, ExportList::Omitted),
    spec(RowKind::PrincipalId, b'B', RowOwner::Account, ExportList::Omitted),
    spec(RowKind::OidcProvider, b'O', RowOwner::Account, ExportList::Omitted),
    spec(RowKind::AccessKey, b'K', RowOwner::IndexOf(RowKind::AccountKey), ExportList::Omitted),
    spec(RowKind::AccountNumber, b'N', RowOwner::IndexOf(RowKind::Account), ExportList::Omitted),
    spec(RowKind::IdentityPool, b'+', RowOwner::Store, ExportList::Omitted),
    spec(RowKind::AccountBucket, b'J', RowOwner::Account, ExportList::Omitted),
    spec(RowKind::Bucket, b'W', RowOwner::Bucket, ExportList::Omitted),
    spec(RowKind::Object, b'Q', RowOwner::Bucket, ExportList::Omitted),
    spec(RowKind::Upload, b'S', RowOwner::Bucket, ExportList::Omitted),
    spec(RowKind::Part, b'X', RowOwner::Bucket, ExportList::Omitted),
    spec(RowKind::Blob, b'L', RowOwner::IndexOf(RowKind::Object), ExportList::Omitted),
    spec(RowKind::UserPool, b'j', RowOwner::UserPool, ExportList::Omitted),
    spec(RowKind::UserPoolClient, b'c', RowOwner::UserPool, ExportList::Omitted),
    spec(RowKind::PoolSigningKey, b'Z', RowOwner::UserPool, ExportList::Omitted),
    spec(RowKind::User, b'z', RowOwner::UserPool, ExportList::Omitted),
    spec(RowKind::UserCode, b'D', RowOwner::UserPool, ExportList::Omitted),
    spec(RowKind::Family, b'f', RowOwner::UserPool, ExportList::Omitted),
    spec(RowKind::AccountUserPool, b'H', RowOwner::IndexOf(RowKind::UserPool), ExportList::Omitted),
    spec(RowKind::ClientPool, b'F', RowOwner::IndexOf(RowKind::UserPoolClient), ExportList::Omitted),
    spec(RowKind::UserAlias, b'Y', RowOwner::IndexOf(RowKind::User), ExportList::Omitted),
    spec(RowKind::Keyring, b'G', RowOwner::Store, ExportList::Omitted),
    spec(RowKind::Meta, b'm', RowOwner::Store, ExportList::Omitted),
];

impl RowKind {
    /// The kinds that a device owns: their keys name it after the identity. Forgetting a device deletes them; a test fails when one is missing.
    pub(super) const OWNED_BY_DEVICE: [RowKind; 6] =
        [RowKind::Device, RowKind::Ack, RowKind::Patch, RowKind::Registration, RowKind::DeliveryLog, RowKind::PushBudget];

    fn spec(self) -> &'static RowKindSpec {
        &TABLE[self as usize]
    }

    pub(super) fn letter(self) -> u8 {
        self.spec().letter
    }

    /// The first byte of its rows' keys if they stand with the other rows of their owner, which is named next; `None`: they stand by kind.
    pub(super) fn owner_mark(self) -> Option<u8> {
        match self.spec().owner {
            RowOwner::Identity => Some(IDENTITY_MARK),
            RowOwner::Account => Some(ACCOUNT_MARK),
            RowOwner::Bucket => Some(BUCKET_MARK),
            RowOwner::UserPool => Some(USER_POOL_MARK),
            RowOwner::IdentityByKind | RowOwner::IndexOf(_) | RowOwner::Store => None,
        }
    }

    pub(super) fn export(self) -> ExportList {
        self.spec().export
    }

    /// The kinds that an identity owns, in the order of an export: what erasing deletes. Their index rows go with them.
    pub(super) fn owned_by_identity() -> impl Iterator<Item = RowKind> {
        let is_owned = |spec: &&RowKindSpec| matches!(spec.owner, RowOwner::Identity | RowOwner::IdentityByKind);
        TABLE.iter().filter(is_owned).map(|spec| spec.kind)
    }

    /// The kinds that an account owns. Their index rows go with them.
    #[cfg(test)]
    pub(super) fn owned_by_account() -> impl Iterator<Item = RowKind> {
        TABLE.iter().filter(|spec| spec.owner == RowOwner::Account).map(|spec| spec.kind)
    }

    /// The kinds that a bucket owns.
    #[cfg(test)]
    pub(super) fn owned_by_bucket() -> impl Iterator<Item = RowKind> {
        TABLE.iter().filter(|spec| spec.owner == RowOwner::Bucket).map(|spec| spec.kind)
    }

    /// The kinds that a user pool or one of its users owns. Their index rows go with them.
    pub(super) fn owned_by_user_pool() -> impl Iterator<Item = RowKind> {
        TABLE.iter().filter(|spec| spec.owner == RowOwner::UserPool).map(|spec| spec.kind)
    }

    /// Whether its rows are an account's, a bucket's or a user pool's, or the index of such a row.
    #[cfg(test)]
    pub(super) fn is_of_another_owner(self) -> bool {
        let mut owned = RowKind::owned_by_account().chain(RowKind::owned_by_bucket()).chain(RowKind::owned_by_user_pool());
        owned.any(|owned| owned == self || owned.index() == Some(self))
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn all() -> impl Iterator<Item = RowKind> + Clone {
        TABLE.iter().map(|spec| spec.kind)
    }

    /// The kind of the index row that a row of this kind has.
    #[cfg(test)]
    pub(super) fn index(self) -> Option<RowKind> {
        TABLE.iter().find(|spec| spec.owner == RowOwner::IndexOf(self)).map(|spec| spec.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_kind_in_its_place_and_no_letter_twice() {
        for (at, spec) in TABLE.iter().enumerate() {
            assert_eq!(spec.kind as usize, at, "{:?}", spec.kind);
            assert!(TABLE[..at].iter().all(|other| other.letter != spec.letter), "{:?}", spec.kind);
            assert!(![IDENTITY_MARK, ACCOUNT_MARK, BUCKET_MARK, USER_POOL_MARK].contains(&spec.letter), "{:?}", spec.kind);
        }
        assert_eq!(RowKind::Meta as usize + 1, TABLE.len(), "`Meta` is the last variant");
    }

    #[test]
    fn every_kind_is_the_stores_an_identitys_an_accounts_or_the_index_of_one_of_these() {
        for spec in &TABLE {
            match spec.owner {
                RowOwner::Store => {
                    assert!(matches!(spec.kind, RowKind::Meta | RowKind::Keyring | RowKind::IdentityPool), "{:?}", spec.kind)
                }
                RowOwner::Identity | RowOwner::IdentityByKind => {}
                RowOwner::Account | RowOwner::Bucket | RowOwner::UserPool => {
                    assert_eq!(spec.export, ExportList::Omitted, "no identity owns {:?}", spec.kind);
                }
                RowOwner::IndexOf(owner) => {
                    let of_others = RowKind::owned_by_account().chain(RowKind::owned_by_bucket()).chain(RowKind::owned_by_user_pool());
                    let mut owned = RowKind::owned_by_identity().chain(of_others);
                    assert!(owned.any(|kind| kind == owner), "{:?} would not be erased", spec.kind);
                    assert_eq!(spec.export, ExportList::Omitted, "{:?}", spec.kind);
                }
            }
        }
    }
}
