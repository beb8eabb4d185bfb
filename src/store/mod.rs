//! The versioned datasets of every identity, in rows of one ordered key space.
//!
//! - Reads go straight to the engine, from any thread (`datasets`, `devices`, `identities`).
//! - Writes are decided in a [`Group`], one after the other, each on top of the decisions before it, and committed together (`commit`).
//!   There is one group at a time: the committer's.
//! - The types of the wire and the stored rows are different types; `rows` converts between them.
//!
//! The store never knows sockets, tasks, the hub or pushes, and never asks for the time: it is an argument.

mod account;
mod account_records;
mod accounts;
mod backup;
mod buckets;
mod commit;
mod compare;
mod cursor;
mod datasets;
mod delete_dataset;
mod devices;
mod engine;
mod erase;
mod eviction;
mod export;
mod export_entries;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod guests;
mod history;
mod history_row;
mod identities;
mod identity;
mod index_rows;
mod job_steps;
mod jobs;
mod keyring_rows;
mod keys;
mod link_check;
mod live_identity;
mod login_pages;
mod logins;
mod merge_dataset;
mod merge_devices;
mod merge_identity;
mod objects;
mod open;
mod owned_bytes;
mod owners;
mod page;
mod pieces;
mod pools;
mod push;
mod reap;
mod retention;
mod rewind;
mod row_cache;
mod row_kinds;
mod row_source;
mod rows;
#[cfg(test)]
mod support;
mod user_names;
mod user_pool_id;
mod user_pools;
mod users;
mod version;
mod view;
mod whole_versions;

pub use account::AccountId;
pub use account_records::{
    AccountRecord, AccountRecordKind, GroupMember, IamGroup, IamRole, IamTag, IamUser, InlinePolicy, ManagedPolicy, OidcProvider,
    PolicyAttachment, PolicyVersion, PrincipalId, PrincipalKind,
};
pub use accounts::{AccessKey, AccessKeyRefused, AccessKeyStatus, Account, AccountState, KEYS_PER_PRINCIPAL, MOST_ACCOUNTS};
pub use backup::{
    BACKUP_FORMAT, BackupChecker, BackupDamage, BackupHeader, BackupPart, BackupRefused, BackupRow, BackupSummary, BackupTicket,
    BackupWriter, RestoreError, restore,
};
pub use buckets::{Bucket, BucketDeletion, CorsRule, MadeBucket};
pub use commit::{DatasetRules, Decision, Group, IDENTITY_BYTES, JobFailure, Patch, device_bytes};
pub use compare::RecordDiff;
pub use cursor::{Cursor, ReadPosition, ReadStart};
pub use datasets::DatasetState;
pub use delete_dataset::DeleteStep;
pub use devices::{Admission, DeviceBound, DeviceInfo};
pub use engine::{CommitOutcome, EngineConfig, EngineError as StoreError, EngineKind, KEY_FILE, OBJECTS_FOLDER};
pub use erase::EraseStart;
pub use export::ExportCursor;
pub use format::ROW_FORMAT;
pub use guests::IdentityState;
pub use history::{DatasetHistory, VersionEntry, VersionNotKept};
pub use history_row::VersionOrigin;
pub use identities::{LinkResult, LoginInfo, LoginKey};
pub use identity::Identity;
pub use jobs::JobProgress;
pub use link_check::{DeviceLink, LinkObstacle, LinkedToken};
pub use login_pages::{ListedLogin, LoginPosition, LoginSearch, LoginsPage};
pub use merge_identity::{MERGE_POLICIES, MergePolicies, MergeStart};
pub use objects::{
    BlobUse, DoneUpload, MOST_PARTS, ObjectBody, ObjectCondition, ObjectHeaders, ObjectPut, PartBits, StoredChecksum, StoredObject,
    StoredPart, Upload, UploadState,
};
pub use open::Store;
pub use owners::{GroupOutcomes, JobPart};
pub use page::{ReadResult, RecordPage};
pub use pools::{ClaimComparison, MadePool, PoolRoles, RoleMapping, RoleMappingKind, RoleRule, StoredPool, TrustedUserPool};
pub use push::{
    CognitoRegistered, DELIVERY_LOG_ENTRIES, DeadToken, Debt, DeliveryLogEntry, DeliveryStatus, DueIdentity, LastSeen, NewCognitoDevice,
    PushBudget, RegisterOutcome, SubscribeOutcome, TargetDebt, TokenBucket, TokenDisposition, TokenLoss, WakeResult, WakeRound, WakeTarget,
};
pub use reap::{DueDataset, ReapResult};
pub use retention::RetentionPolicy;
pub use rewind::{RewindPart, RewindPlan, UnfinishedRewind};
pub use rows::ConflictRow as Conflict;
pub use user_names::{AliasName, CodeUse};
pub use user_pool_id::{PoolUserKey, UserPoolId};
pub use user_pools::{
    CustomAttribute, CustomKind, MOST_CLIENTS, MOST_USER_POOLS, PasswordDemands, SealedSecret, TokenUnit, UserPool, UserPoolClient,
    UserPoolRefused, UserPoolSettings, UserPoolState, UsernameKind,
};
pub use users::{Family, FamilyState, MOST_FAMILIES, StoredCode, StoredPassword, Tries, User, UserStatus};
pub use whole_versions::{VersionsPage, VersionsRead, WholeVersions};

#[cfg(test)]
pub(crate) use engine::memory;

#[cfg(test)]
mod tests;
