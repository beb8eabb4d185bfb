//! What the operations act on.

use std::io;
use std::path::PathBuf;

use super::blob_folder::{BlobClaim, BlobFolder};
use crate::access::Accounts;
use crate::clock::Clock;
use crate::committer::{Committer, JobOwner, ReadOwner, Reader, Unavailable};
use crate::store::{AccountId, Bucket, Group, MadeBucket, ObjectBody, Store, StoreError, StoredObject, StoredPart, Upload};

/// Rows of parts that are read at a time.
const PARTS_READ: usize = 500;

/// The objects of a server. Clones share them.
#[derive(Clone)]
pub struct Objects {
    pub(super) reader: Reader,
    pub(super) committer: Committer,
    pub(super) accounts: Accounts,
    pub(super) blobs: BlobFolder,
    pub(super) clock: Clock,
    pub(super) region: String,
}

impl Objects {
    /// Opens the folder with the bytes of objects, which is made if it is missing. `region` is that of the buckets.
    pub fn open(
        folder: PathBuf,
        reader: Reader,
        committer: Committer,
        accounts: Accounts,
        clock: Clock,
        region: String,
    ) -> io::Result<Objects> {
        Ok(Objects { reader, committer, accounts, blobs: BlobFolder::open(folder)?, clock, region })
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.reader.read(ReadOwner::Server, read).await
    }

    /// Does a change in a task of its own: a client that goes away does not end it. `claims` are files whose rows it writes; they are claimed until
    /// its outcome is known.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        claims: Vec<BlobClaim>,
        decide: impl Fn(&mut Group<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let committer = self.committer.clone();
        let change = tokio::spawn(async move {
            let changed = committer.transact(JobOwner::Store, move |group, _| Ok((decide(group)?, Vec::new()))).await;
            drop(claims);
            changed
        });
        change.await.unwrap_or(Err(Unavailable::Now))
    }

    pub(super) async fn bucket(&self, name: &str) -> Result<Option<Bucket>, Unavailable> {
        let name = name.to_owned();
        self.read(move |store| store.bucket(&name)).await
    }

    /// Makes a bucket. Its name was checked.
    pub async fn make_bucket(&self, name: &str, account: &AccountId) -> Result<MadeBucket, Unavailable> {
        let (name, account, made_ms) = (name.to_owned(), account.clone(), self.clock.unix_ms());
        self.change(Vec::new(), move |group| group.make_bucket(&name, &account, made_ms)).await
    }

    pub(super) async fn object(&self, bucket: &str, key: &str) -> Result<Option<StoredObject>, Unavailable> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.read(move |store| store.object(&bucket, &key)).await
    }

    pub(super) async fn upload(&self, bucket: &str, key: &str, upload: &str) -> Result<Option<Upload>, Unavailable> {
        let (bucket, key, upload) = (bucket.to_owned(), key.to_owned(), upload.to_owned());
        self.read(move |store| store.upload(&bucket, &key, &upload)).await
    }

    /// All parts of an upload, at most ten thousand.
    pub(super) async fn parts(&self, bucket: &str, upload: &str) -> Result<Vec<(u16, StoredPart)>, Unavailable> {
        let mut all: Vec<(u16, StoredPart)> = Vec::new();
        loop {
            let (bucket, upload, after) = (bucket.to_owned(), upload.to_owned(), all.last().map_or(0, |(number, _)| *number));
            let some = self.read(move |store| store.parts(&bucket, &upload, after, PARTS_READ)).await?;
            let is_last = some.len() < PARTS_READ;
            all.extend(some);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Deletes the files of a body that an object no longer has. What is not done when the server stops is done by the sweep.
    pub(super) fn release(&self, bucket: &str, body: ObjectBody) {
        let (objects, bucket) = (self.clone(), bucket.to_owned());
        tokio::spawn(async move {
            let blobs = match body {
                ObjectBody::Blob(blob) => vec![blob],
                ObjectBody::Upload(upload) => {
                    let parts = objects.parts(&bucket, &upload).await.unwrap_or_default();
                    parts.into_iter().map(|(_, part)| part.blob).collect()
                }
            };
            objects.forget(blobs).await;
        });
    }

    /// Deletes those of some files that nobody has bytes in; how many.
    pub(super) async fn forget(&self, blobs: Vec<String>) -> usize {
        /// Rows that one act looks at: three for each file.
        const STEP: usize = 32;
        let mut forgotten = 0;
        for some in blobs.chunks(STEP) {
            let some: Vec<String> = some.iter().filter(|blob| !self.blobs.is_claimed(blob)).cloned().collect();
            let decide = move |group: &mut Group<'_>| {
                let mut unused = Vec::new();
                for blob in &some {
                    if group.forget_blob(blob)? {
                        unused.push(blob.clone());
                    }
                }
                Ok(unused)
            };
            let Ok(unused) = self.change(Vec::new(), decide).await else { return forgotten };
            forgotten += unused.len();
            let folder = self.blobs.clone();
            let _ = tokio::task::spawn_blocking(move || unused.iter().for_each(|blob| folder.delete(blob))).await;
        }
        forgotten
    }
}
