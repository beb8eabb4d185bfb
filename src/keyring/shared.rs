//! The keyring of a running server, which follows the store: another server of the same store may have made a key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tracing::{info, warn};

use super::LoadedKeyFile;
use super::error::KeyringError;
use super::generations::turn_plan;
use super::key_file::{self, KeyFileError, StoredKeys};
use super::lost_user_pools;
use super::purpose::Purpose;
use super::rows::{GenerationRow, KeyringRow};
use super::sealing::Keyring;
use super::signing_key::SigningKeyPair;
use super::wrapping::{UnwrapError, WrappingKey};
use crate::clock::Clock;
use crate::committer::{Committer, JobOwner, ReadOwner, Reader, Unavailable};

/// How often the generations are looked at. A generation seals for days, so an hour more is nothing.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Access keys that one transaction deletes.
const DELETED_KEYS: usize = 64;

/// How soon it is tried again if the store could not be used.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The keyring of a server. Clones share it.
#[derive(Clone)]
pub struct SharedKeyring {
    current: Arc<RwLock<Arc<Keyring>>>,
    wrapping: Arc<WrappingKey>,
    reader: Reader,
    committer: Committer,
    clock: Clock,
}

/// What becomes of a store whose key file is lost, or is another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LostKeyFile {
    /// The store is not served, unless nothing is sealed in it: that is so after a restore of a server without accounts.
    #[default]
    Refuses,
    /// New keys are made, and what the old ones have sealed is deleted.
    NewKeyring,
}

impl SharedKeyring {
    /// Reads the key file, which is made if the store has nothing that one sealed, and the store's keys; makes those that are missing.
    ///
    /// # Errors
    /// The key file or a row of the keyring cannot be used: the store is not served, because what it sealed could not be opened.
    pub async fn open(
        key_file: &Path,
        lost: LostKeyFile,
        reader: Reader,
        committer: Committer,
        clock: Clock,
    ) -> Result<SharedKeyring, KeyringError> {
        let mut rows = read_rows(&reader).await?;
        let is_sealed = !reader.read(ReadOwner::Server, |store| store.some_access_keys(1)).await?.is_empty()
            || lost_user_pools::is_sealed(&reader).await?;
        let stored = if rows.is_empty() { StoredKeys::None } else { StoredKeys::Some };
        let loaded = match load(key_file, stored).await {
            Err(KeyringError::KeyFile(KeyFileError::Missing(_))) if !is_sealed || lost == LostKeyFile::NewKeyring => {
                delete_all(&reader, &committer).await?;
                rows.clear();
                load(key_file, StoredKeys::None).await?
            }
            loaded => loaded?,
        };
        if lost == LostKeyFile::NewKeyring
            && let Err(UnwrapError::OtherKeyFile) = Keyring::unwrapped(&loaded.key, &rows)
        {
            delete_all(&reader, &committer).await?;
            rows.clear();
        }
        let LoadedKeyFile { key, is_open_to_others } = loaded;
        if is_open_to_others {
            warn!(file = %key_file.display(), "other accounts of this machine can read the key file; its mode should be 0600");
        }
        let keyring = Keyring::unwrapped(&key, &rows).map_err(KeyringError::Unwrap)?;
        let (current, wrapping) = (Arc::new(RwLock::new(Arc::new(keyring))), Arc::new(key));
        let shared = SharedKeyring { current, wrapping, reader, committer, clock };
        shared.turn().await?;
        Ok(shared)
    }

    /// The keyring as it is now.
    pub fn current(&self) -> Arc<Keyring> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the store's keys again: for who meets a generation that is not known.
    pub async fn refresh(&self) -> Result<(), KeyringError> {
        let keyring = Keyring::unwrapped(&self.wrapping, &read_rows(&self.reader).await?).map_err(KeyringError::Unwrap)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keyring);
        Ok(())
    }

    /// Makes the generations that are due, and drops those whose seals have all expired. Doing it twice changes nothing.
    pub async fn turn(&self) -> Result<(), KeyringError> {
        let now_ms = self.clock.unix_ms();
        let keyring = self.current();
        let (mut added, mut dropped) = (BTreeMap::new(), Vec::new());
        for purpose in Purpose::ALL {
            let plan = turn_plan(purpose, &keyring.times(purpose), now_ms);
            if let Some(number) = plan.make {
                let row = self.wrapping.new_generation(purpose, number, now_ms).map_err(KeyringError::Crypto)?;
                added.insert(row_name(purpose, number), KeyringRow::Generation(row).encode().map_err(KeyringError::Row)?);
                info!(?purpose, number, "a new generation of sealing keys");
            }
            dropped.extend(plan.drop.into_iter().map(|number| row_name(purpose, number)));
        }
        if added.is_empty() && dropped.is_empty() {
            return Ok(());
        }
        let write = self.committer.transact(JobOwner::Store, move |group, _| {
            for (name, row) in &added {
                group.add_keyring_row(name, row)?;
            }
            dropped.iter().for_each(|name| group.delete_keyring_row(name));
            Ok(((), Vec::new()))
        });
        write.await?;
        self.refresh().await
    }

    /// A row of a key pair of an issuer that signs from a time.
    pub fn wrap_pair(&self, issuer: &str, pair: &SigningKeyPair, signs_from_ms: u64) -> Result<Vec<u8>, KeyringError> {
        let row = self.wrapping.signing_key_row(issuer, pair, signs_from_ms).map_err(KeyringError::Crypto)?;
        KeyringRow::SigningKey(row).encode().map_err(KeyringError::Row)
    }

    /// The key pair in a row of an issuer, and from when on it signs.
    pub fn unwrap_pair(&self, issuer: &str, row: &[u8]) -> Result<(u64, SigningKeyPair), KeyringError> {
        match KeyringRow::decode(row).map_err(KeyringError::Row)? {
            KeyringRow::SigningKey(row) if row.issuer == issuer => {
                Ok((row.signs_from_ms, self.wrapping.signing_key_pair(&row).map_err(KeyringError::Unwrap)?))
            }
            KeyringRow::SigningKey(_) | KeyringRow::Generation(_) => Err(KeyringError::Unwrap(UnwrapError::Damaged)),
        }
    }

    /// Turns the keys when it is time. Runs until the future is dropped.
    pub async fn run(self) {
        loop {
            let pause = match self.turn().await {
                Ok(()) => LOOK_EVERY,
                Err(why) => {
                    warn!(%why, "sealing keys were not turned; it is tried again");
                    RETRY_AFTER
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// Reads or makes the key file.
async fn load(key_file: &Path, stored: StoredKeys) -> Result<LoadedKeyFile, KeyringError> {
    let path = PathBuf::from(key_file);
    let loading = tokio::task::spawn_blocking(move || key_file::load_or_create(&path, stored)).await;
    loading.map_err(|_| KeyringError::Unavailable(Unavailable::Now))?.map_err(KeyringError::KeyFile)
}

/// Deletes what no key file opens any more, in bounded steps: the access keys, then the keys that have sealed them. After a crash the next start
/// goes on. A kind of row that has something else sealed in it belongs here, and to what [`SharedKeyring::open`] looks for.
async fn delete_all(reader: &Reader, committer: &Committer) -> Result<(), KeyringError> {
    let mut deleted = 0;
    loop {
        let keys = reader.read(ReadOwner::Server, |store| store.some_access_keys(DELETED_KEYS)).await?;
        if keys.is_empty() {
            break;
        }
        deleted += keys.len();
        let delete = committer.transact(JobOwner::Store, move |group, _| {
            for key in &keys {
                group.delete_access_key(&key.account, &key.id)?;
            }
            Ok(((), Vec::new()))
        });
        delete.await?;
    }
    let user_pools = lost_user_pools::forget_sealed(reader, committer).await?;
    let rows = reader.read(ReadOwner::Server, |store| store.keyring_rows()).await?;
    let delete = committer.transact(JobOwner::Store, move |group, _| {
        rows.iter().for_each(|(name, _)| group.delete_keyring_row(name));
        Ok(((), Vec::new()))
    });
    delete.await?;
    warn!(
        access_keys = deleted,
        user_pools,
        "the store's keyring is new: access keys that the old one had sealed are deleted; driftless access rotate makes others; users set new passwords"
    );
    Ok(())
}

fn row_name(purpose: Purpose, number: u32) -> String {
    let purpose = match purpose {
        Purpose::Sts => "sts",
        Purpose::Token => "token",
        Purpose::Secret => "secret",
    };
    format!("{purpose}/{number}")
}

async fn read_rows(reader: &Reader) -> Result<Vec<GenerationRow>, KeyringError> {
    let rows = reader.read(ReadOwner::Server, |store| store.keyring_rows()).await?;
    let mut generations = Vec::new();
    for (_, row) in rows {
        match KeyringRow::decode(&row).map_err(KeyringError::Row)? {
            KeyringRow::Generation(row) => generations.push(row),
            KeyringRow::SigningKey(_) => {}
        }
    }
    Ok(generations)
}

#[cfg(test)]
mod tests {
    use driftless_protocol::Epoch;

    use super::*;
    use crate::hub::Hub;
    use crate::keyring::{SecretKind, StoredKeys};
    use crate::metrics::Metrics;
    use crate::store::{EngineConfig, Store};

    struct Server {
        keyring: SharedKeyring,
        reader: Reader,
        committer: Committer,
        writer: std::thread::JoinHandle<()>,
    }

    async fn start(folder: &Path, key_file: &str) -> Result<Server, KeyringError> {
        start_with(folder, key_file, LostKeyFile::Refuses).await
    }

    async fn start_with(folder: &Path, key_file: &str, lost: LostKeyFile) -> Result<Server, KeyringError> {
        let (epoch, config) = (Epoch::new("e").expect("an epoch"), EngineConfig::cached(16));
        let store = Store::open(&folder.join("store"), &config, &epoch).expect("opens");
        let clock = Clock::start();
        let (committer, writer) = Committer::start(store.clone(), Hub::default(), Metrics::default(), clock).expect("starts");
        let reader = Reader::start(store).expect("starts");
        match SharedKeyring::open(&folder.join(key_file), lost, reader.clone(), committer.clone(), clock).await {
            Ok(keyring) => Ok(Server { keyring, reader, committer, writer }),
            Err(why) => {
                committer.stop().await;
                writer.join().expect("ends");
                Err(why)
            }
        }
    }

    impl Server {
        async fn stop(self) {
            self.committer.stop().await;
            self.writer.join().expect("ends");
        }
    }

    #[tokio::test]
    async fn what_was_sealed_opens_after_a_restart_with_the_same_key_file_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let server = start(folder.path(), "keyring.key").await.expect("starts");
        let sealed = server.keyring.current().seal_secret(SecretKind::AccessKey, b"AKIA1", b"secret").expect("seals");
        let rows = server.reader.read(ReadOwner::Server, |store| store.keyring_rows()).await.expect("reads");
        assert_eq!(rows.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["sts/1", "token/1", "secret/1"]);
        server.keyring.turn().await.expect("turns");
        assert_eq!(server.reader.read(ReadOwner::Server, |store| store.keyring_rows()).await.expect("reads"), rows, "nothing is due");
        server.stop().await;
        let server = start(folder.path(), "keyring.key").await.expect("starts again");
        let opened = server.keyring.current().open_secret(SecretKind::AccessKey, b"AKIA1", &sealed).expect("opens");
        assert_eq!(opened.as_slice(), b"secret");
        make_account(&server, &sealed).await;
        server.stop().await;
        let missing = start(folder.path(), "another.key").await.err().expect("has no key file");
        assert!(matches!(&missing, KeyringError::KeyFile(KeyFileError::Missing(_))), "{missing}");
        assert!(missing.to_string().contains("--new-keyring"), "{missing}");
        key_file::load_or_create(&folder.path().join("another.key"), StoredKeys::None).expect("makes another key");
        let wrong = start(folder.path(), "another.key").await.err().expect("has another key");
        assert!(matches!(&wrong, KeyringError::Unwrap(_)), "{wrong}");
        // With new keys the account stays, and its key does not.
        for key_file in ["another.key", "keyring.key"] {
            let server = start_with(folder.path(), key_file, LostKeyFile::NewKeyring).await.expect("starts");
            let left = |store: &Store| Ok((store.accounts(None, 9)?.len(), store.some_access_keys(9)?.len()));
            assert_eq!(server.reader.read(ReadOwner::Server, left).await, Ok((1, 0)), "{key_file}");
            server.stop().await;
        }
        let server = start(folder.path(), "keyring.key").await.expect("starts as before");
        server.stop().await;
    }

    /// An account with a key whose secret is sealed.
    async fn make_account(server: &Server, sealed: &[u8]) {
        let id = crate::store::AccountId::parse("123456789012").expect("an id");
        let account = crate::store::Account {
            id: id.clone(),
            name: "test".to_owned(),
            number: 0,
            made_ms: 7,
            state: crate::store::AccountState::default(),
        };
        let (sealed_secret, status) = (sealed.to_owned(), crate::store::AccessKeyStatus::Active);
        let key = crate::store::AccessKey { id: "AKIA1".to_owned(), account: id, user: None, sealed_secret, status, made_ms: 7 };
        let make = server.committer.transact(JobOwner::Store, move |group, _| {
            assert!(group.make_account(&account)?);
            Ok((group.add_access_key(&key)?, Vec::new()))
        });
        assert_eq!(make.await, Ok(Ok(())));
    }

    /// As after a restore: the store has keys, and the folder no key file.
    #[tokio::test]
    async fn a_store_in_which_nothing_is_sealed_needs_no_key_file_of_old() {
        let folder = tempfile::tempdir().expect("a folder");
        start(folder.path(), "keyring.key").await.expect("starts").stop().await;
        let server = start(folder.path(), "another.key").await.expect("makes new keys");
        assert_eq!(server.keyring.current().times(Purpose::Secret).len(), 1);
        server.stop().await;
        assert!(start(folder.path(), "keyring.key").await.is_err(), "the first one opens nothing any more");
    }

    #[tokio::test]
    async fn a_key_that_another_server_made_is_known_after_a_refresh() {
        let folder = tempfile::tempdir().expect("a folder");
        let server = start(folder.path(), "keyring.key").await.expect("starts");
        let row = server.keyring.wrapping.new_generation(Purpose::Sts, 2, 7).expect("makes");
        let row = KeyringRow::Generation(row).encode().expect("encodes");
        let added = server.committer.transact(JobOwner::Store, move |group, _| Ok((group.add_keyring_row("sts/2", &row)?, Vec::new())));
        added.await.expect("commits");
        assert_eq!(server.keyring.current().times(Purpose::Sts).len(), 1);
        server.keyring.refresh().await.expect("reads");
        assert_eq!(server.keyring.current().times(Purpose::Sts).len(), 2);
        server.stop().await;
    }
}
