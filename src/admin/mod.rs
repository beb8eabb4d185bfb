//! What an operator may ask of a running server: look at an identity and its history, wind a dataset back, export, erase, link, merge, back up.
//!
//! - Whoever calls has proven to be an operator; here nobody is asked again, and every identity can be named.
//! - What changes something goes through the committer, and live sessions hear of it. What reads passes the gate like any other reader.
//! - That something is not there is an answer ([`NotFound`]), no error.
//!
//! No HTTP here: commands and pages come in through the same functions.

mod backup;
mod export;
mod history;
mod key;
mod login;
mod push;
mod work;

use std::collections::HashMap;
use std::sync::Arc;

use driftless_protocol::DatasetInfo;

pub use backup::Backup;
pub use export::Export;
pub use key::{BadKey, DEVELOPMENT_KEY, OperatorKey};
pub use login::{LinkOutcome, Signed};
pub use push::{Awake, Now, Revoke, Tried};
pub use work::{Erased, Merged};

use crate::clock::Clock;
use crate::committer::{Committer, Reader, Unavailable};
use crate::push::PushService;
use crate::store::{Identity, LoginInfo, MergePolicies, RetentionPolicy, Store, StoreError, VersionNotKept};
use crate::sync::Pool;

/// Logins that a search finds at most: a person has one at each issuer.
const LOGINS: usize = 64;

/// The longest identity: a region of 18 characters, a colon, and a UUID.
const IDENTITY_BYTES: usize = 18 + 1 + 36;

/// What was asked about and is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// There is no such identity: there never was, it was erased, or it was merged into another one.
    Identity,
    /// The identity has no such dataset.
    Dataset,
    /// The identity has no such device.
    Device,
    /// The dataset's version cannot be seen.
    Version(VersionNotKept),
}

/// An answer, unless what was asked about is not there, or the store cannot be asked.
pub type AdminResult<T> = Result<Result<T, NotFound>, Unavailable>;

/// An identity at a glance.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Its pool.
    pub pool: String,
    /// Identities that were merged into it, the newest last.
    pub merged: Vec<String>,
    /// Its datasets, by name.
    pub datasets: Vec<DatasetInfo>,
}

/// What an operator may ask; cheap to clone.
#[derive(Clone)]
pub struct Admin {
    reader: Reader,
    committer: Committer,
    pools: Arc<HashMap<Arc<str>, (RetentionPolicy, MergePolicies)>>,
    post: PushService,
    clock: Clock,
}

impl Admin {
    /// Over a reader, its committer, what the pools say of their data, and where their devices are woken.
    pub fn new(reader: Reader, committer: Committer, pools: impl IntoIterator<Item = Pool>, post: PushService, clock: Clock) -> Admin {
        let pools = pools
            .into_iter()
            .map(|Pool { name, policy, datasets, retention: keep, .. }| (name, (keep, MergePolicies { policy, datasets })));
        Admin { reader, committer, pools: Arc::new(pools.collect()), post, clock }
    }

    /// The logins of a pool with this subject, whoever their issuer is.
    pub async fn logins(&self, pool: String, subject: String) -> Result<Vec<LoginInfo>, Unavailable> {
        self.reader.read(move |store| store.logins(&pool, &subject, LOGINS)).await
    }

    /// An identity at a glance.
    pub async fn account(&self, identity: Identity) -> AdminResult<Account> {
        let read = move |store: &Store| {
            let (Some(merged), Some(pool)) = (store.merged(&identity)?, store.pool(&identity)?) else { return Ok(Err(NotFound::Identity)) };
            Ok(Ok(Account { pool, merged, datasets: store.datasets(&identity)? }))
        };
        self.reader.read(read).await
    }

    /// What an identity's pool says of its data. A pool that is not configured any more has all defaults.
    async fn rules(&self, identity: &Identity) -> AdminResult<(RetentionPolicy, MergePolicies)> {
        let of = identity.clone();
        let pool = self.reader.read(move |store| if is_there(store, &of)? { store.pool(&of) } else { Ok(None) }).await?;
        Ok(pool.ok_or(NotFound::Identity).map(|pool| self.pools.get(pool.as_str()).cloned().unwrap_or_default()))
    }
}

fn is_there(store: &Store, identity: &Identity) -> Result<bool, StoreError> {
    Ok(store.merged(identity)?.is_some())
}

/// Reads an identity as it is written, `region:uuid`; `None` if it cannot be one.
pub fn identity(text: &str) -> Option<Identity> {
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let (region, rest) = text.split_once(':')?;
    (text.len() <= IDENTITY_BYTES && !region.is_empty() && is_plain(region) && is_plain(rest)).then(|| Identity::from(text))
}
