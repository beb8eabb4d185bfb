//! Deletes files that no row names: of uploads that were cut off, and of what was replaced or deleted just before a crash.

use std::time::Duration;

use tracing::info;

use super::Objects;

/// Files that are looked up in the store at a time.
const FILES_READ: usize = 64;

/// The pause between two folders, of which there are 256 at most: a round takes more than four minutes, and costs next to nothing.
const FOLDER_PAUSE: Duration = Duration::from_secs(1);

/// The pause between two rounds.
const ROUND_PAUSE: Duration = Duration::from_secs(600);

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
        let deleted = self.round(Duration::ZERO).await;
        if deleted > 0 {
            info!(files = deleted, "files of objects that were never stored, or are gone, were deleted");
        }
        loop {
            tokio::time::sleep(ROUND_PAUSE).await;
            self.round(FOLDER_PAUSE).await;
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
