//! The operations of an administrator on a running server: find and inspect identities, restore versions, export, erase, link, merge, back up.
//!
//! - The caller has authenticated the operator; nothing here checks again, and every identity can be named.
//! - Changes go through the committer, which notifies live sessions. Reads are made by the reader's threads like any other.
//! - A missing identity, dataset or device is a result ([`NotFound`]), not an error.
//!
//! There is no HTTP here: the HTTP routes call these functions.

mod backup;
#[cfg(test)]
mod erase_tests;
mod export;
mod history;
mod identity_jobs;
#[cfg(test)]
mod link_tests;
mod logins;
mod operator_key;
mod push;
mod read_memory;

use std::sync::Arc;

use driftless_protocol::DatasetInfo;

pub use backup::BackupStream;
pub use export::ExportStream;
pub use identity_jobs::EraseResult;
pub use logins::{DeviceLinkRequest, SecondSignIn};
pub use operator_key::{DEVELOPMENT_KEY, InvalidOperatorKey, OperatorKey};
pub use push::{DeviceAccess, DeviceWakeState, TestWakeResult, WakeState};
pub use read_memory::ReadMemory;

use read_memory::ReadBudget;

use crate::clock::Clock;
use crate::committer::{Committer, ReadOwner, Reader, Unavailable};
use crate::identity::IdentityLinks;
use crate::pools::{PoolOrigin, Pools};
use crate::push::PushService;
use crate::store::{Identity, LoginInfo, LoginSearch, LoginsPage, Store, StoreError, VersionNotKept};

/// The most logins that a search returns: a person has one at each issuer.
const MAX_LOGINS: usize = 64;

/// The length of the longest identity: a region of 18 characters, a colon, and a UUID.
const MAX_IDENTITY_BYTES: usize = 18 + 1 + 36;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// The identity never existed, was erased, or was merged into another one.
    Identity,
    Dataset,
    Device,
    /// The dataset's history does not have the version.
    Version(VersionNotKept),
}

/// The outer error means that the store cannot be used now.
pub type AdminResult<T> = Result<Result<T, NotFound>, Unavailable>;

#[derive(Clone, Debug, PartialEq)]
pub struct IdentitySummary {
    pub pool: String,
    /// Identities that were merged into this one, newest last.
    pub merged: Vec<String>,
    /// Bytes of its datasets with history and tombstones, less than 64 KiB behind for each dataset.
    pub owned_bytes: u64,
    /// In the order of their names.
    pub datasets: Vec<DatasetInfo>,
}

#[derive(Clone)]
pub struct Admin {
    reader: Reader,
    committer: Committer,
    pools: Pools,
    push: PushService,
    clock: Clock,
    whole_reads: ReadBudget,
    links: IdentityLinks,
}

impl Admin {
    pub fn new(reader: Reader, committer: Committer, pools: Pools, push: PushService, clock: Clock) -> Admin {
        let links = IdentityLinks::new(reader.clone(), committer.clone(), pools.clone());
        Admin { reader, committer, pools, push, clock, whole_reads: ReadBudget::default(), links }
    }

    /// The logins of a pool with this subject, of all issuers.
    pub async fn find_logins(&self, pool: String, subject: String) -> Result<Vec<LoginInfo>, Unavailable> {
        self.reader.read(ReadOwner::Server, move |store| store.logins(&pool, &subject, MAX_LOGINS)).await
    }

    /// A page of a pool's logins.
    pub async fn list_logins(&self, search: LoginSearch) -> Result<LoginsPage, Unavailable> {
        self.reader.read(ReadOwner::Server, move |store| store.logins_page(&search)).await
    }

    /// Name, id and origin of each pool, in the order of the names.
    pub fn pools(&self) -> Vec<(Arc<str>, Arc<str>, PoolOrigin)> {
        self.pools.list()
    }

    pub async fn summary(&self, identity: Identity) -> AdminResult<IdentitySummary> {
        let read = move |store: &Store| {
            let (Some(merged), Some(pool)) = (store.merged(&identity)?, store.pool(&identity)?) else { return Ok(Err(NotFound::Identity)) };
            let owned_bytes = store.owned_bytes(&identity)?;
            Ok(Ok(IdentitySummary { pool, merged, owned_bytes, datasets: store.datasets(&identity)? }))
        };
        self.reader.read(ReadOwner::Server, read).await
    }
}

fn exists(store: &Store, identity: &Identity) -> Result<bool, StoreError> {
    Ok(store.merged(identity)?.is_some())
}

/// Parses an identity, `region:uuid`; `None` if the text cannot be one.
pub fn parse_identity(text: &str) -> Option<Identity> {
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let (region, rest) = text.split_once(':')?;
    (text.len() <= MAX_IDENTITY_BYTES && !region.is_empty() && is_plain(region) && is_plain(rest)).then(|| Identity::from(text))
}
