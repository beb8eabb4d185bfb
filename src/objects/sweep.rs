//! Deletes files that no row names: of uploads that were cut off, and of what was replaced or deleted just before a crash. Ends uploads in parts that
//! nobody completes.

use std::time::Duration;

use tracing::info;

use super::Objects;
use crate::committer::Unavailable;
use crate::store::{ObjectBody, UploadState};

/// Files that are looked up in the store at a time.
const FILES_READ: usize = 64;

/// The pause between two folders, of which there are 256 at most: a round takes more than four minutes, and costs next to nothing.
const FOLDER_PAUSE: Duration = Duration::from_secs(1);

/// The pause between two rounds.
const ROUND_PAUSE: Duration = Duration::from_secs(600);

/// How long an upload in parts may stay open. AWS has none that ends by itself, and advises a rule of seven days
/// (AbortIncompleteMultipartUpload).
const UPLOAD_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Uploads that are read at a time.
const UPLOADS_READ: usize = 100;

/// The sweep of a server.
pub struct BlobSweep {
    objects: Objects,
}

impl BlobSweep {
    pub fn new(objects: Objects) -> BlobSweep {
        BlobSweep { objects }
    }

    /// Runs until the future is dropped. The first round, after a start, has no pauses.
    pub async fn run(self) {
        self.end_abandoned().await;
        let deleted = self.round(Duration::ZERO).await;
        if deleted > 0 {
            info!(files = deleted, "files of objects that were never stored, or are gone, were deleted");
        }
        loop {
            tokio::time::sleep(ROUND_PAUSE).await;
            self.end_abandoned().await;
            self.round(FOLDER_PAUSE).await;
        }
    }

    /// Ends the uploads that are older than [`UPLOAD_LIFE`].
    async fn end_abandoned(&self) {
        let life_ms = u64::try_from(UPLOAD_LIFE.as_millis()).unwrap_or(u64::MAX);
        let until_ms = self.objects.clock.unix_ms().saturating_sub(life_ms);
        // A store that cannot be read or written is asked again in the next round.
        if let Ok(ended @ 1..) = self.end_uploads(until_ms).await {
            info!(uploads = ended, "uploads that nobody has completed within seven days were ended");
        }
    }

    /// Ends the open uploads that were begun before a time; how many.
    async fn end_uploads(&self, until_ms: u64) -> Result<usize, Unavailable> {
        let (mut ended, mut last) = (0, None);
        loop {
            let behind: Option<String> = last.clone();
            let Some(bucket) = self.objects.read(move |store| store.next_bucket(behind.as_deref())).await? else { return Ok(ended) };
            ended += self.end_uploads_in(&bucket, until_ms).await?;
            last = Some(bucket);
        }
    }

    async fn end_uploads_in(&self, bucket: &str, until_ms: u64) -> Result<usize, Unavailable> {
        let (mut ended, mut last) = (0, None::<(String, String)>);
        loop {
            let (name, behind) = (bucket.to_owned(), last.clone());
            let read = move |store: &crate::store::Store| {
                let behind = behind.as_ref().map(|(key, id)| (key.as_str(), id.as_str()));
                store.uploads(&name, "", behind, UPLOADS_READ)
            };
            let some = self.objects.read(read).await?;
            let is_last = some.len() < UPLOADS_READ;
            last = some.last().map(|(key, id, _)| (key.clone(), id.clone()));
            for (key, id, upload) in some {
                if upload.made_ms >= until_ms || upload.state != UploadState::Open {
                    continue;
                }
                let (name, of) = (bucket.to_owned(), id.clone());
                let decide = move |group: &mut crate::store::Group<'_>| group.abort_upload(&name, &key, &of);
                if self.objects.change(Vec::new(), decide).await? {
                    self.objects.release(bucket, ObjectBody::Upload(id));
                    ended += 1;
                }
            }
            if is_last {
                return Ok(ended);
            }
        }
    }

    /// Looks at each file once; how many were deleted.
    pub(super) async fn round(&self, pause: Duration) -> usize {
        let (mut deleted, folder) = (0, self.objects.blobs.clone());
        let folders = tokio::task::spawn_blocking(move || folder.folders()).await.unwrap_or_default();
        for name in folders {
            let folder = self.objects.blobs.clone();
            let files = tokio::task::spawn_blocking(move || folder.files(&name)).await.unwrap_or_default();
            for some in files.chunks(FILES_READ) {
                let some = some.to_vec();
                // A store that cannot be read says nothing of files: they stay.
                let unused = self.objects.read(move |store| store.unused_blobs(some)).await.unwrap_or_default();
                deleted += self.objects.forget(unused).await;
            }
            tokio::time::sleep(pause).await;
        }
        deleted
    }
}
