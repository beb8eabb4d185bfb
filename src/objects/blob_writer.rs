//! Writes the bytes of an object into a new file while they come in, and hashes them.

use std::fs::File;
use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::Checksum;

use super::blob_folder::{BlobClaim, BlobFolder};

/// Bytes that are gathered before they are written: what an upload holds in memory, beside what its connection has received.
const CHUNK_BYTES: usize = 256 << 10;

/// How often the free space is looked at, in bytes written.
const SPACE_CHECK_BYTES: u64 = 8 << 20;

/// Why bytes were not written.
#[derive(Debug)]
pub(super) enum BlobFault {
    /// There is no space beside the store's reserve.
    Full,
    Io(io::Error),
}

/// A file that is being written. Dropped before it is finished, the file is deleted.
pub(super) struct BlobWriter {
    gathered: BytesMut,
    /// `None` while a thread has it.
    open: Option<OpenBlob>,
    bytes: u64,
}

struct OpenBlob {
    file: File,
    /// `None` when it was handed over.
    claim: Option<BlobClaim>,
    md5: Md5,
    hasher: ChecksumHasher,
    checked_at: u64,
    written: u64,
}

/// A file that is on disk.
pub(super) struct WrittenBlob {
    pub claim: BlobClaim,
    pub bytes: u64,
    pub md5: [u8; 16],
    pub checksum: Checksum,
}

impl Drop for OpenBlob {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            claim.folder().delete(&claim.id);
        }
    }
}

impl From<io::Error> for BlobFault {
    fn from(error: io::Error) -> BlobFault {
        if error.kind() == io::ErrorKind::StorageFull { BlobFault::Full } else { BlobFault::Io(error) }
    }
}

impl OpenBlob {
    fn write(&mut self, chunk: &[u8]) -> Result<(), BlobFault> {
        if self.written >= self.checked_at {
            if !self.claim.as_ref().is_some_and(|claim| claim.folder().has_space()) {
                return Err(BlobFault::Full);
            }
            self.checked_at = self.written + SPACE_CHECK_BYTES;
        }
        self.file.write_all(chunk)?;
        self.written += chunk.len() as u64;
        self.md5.update(chunk);
        self.hasher.update(chunk);
        Ok(())
    }
}

impl BlobWriter {
    /// Begins a file. `hasher` has the checksums to compute beside MD5.
    pub(super) async fn begin(folder: BlobFolder, hasher: ChecksumHasher) -> Result<BlobWriter, BlobFault> {
        let open = blocking(move || {
            let (claim, file) = folder.create()?;
            Ok(OpenBlob { file, claim: Some(claim), md5: Md5::new(), hasher, checked_at: 0, written: 0 })
        });
        Ok(BlobWriter { gathered: BytesMut::new(), open: Some(open.await?), bytes: 0 })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) async fn write(&mut self, mut data: Bytes) -> Result<(), BlobFault> {
        self.bytes += data.len() as u64;
        while !data.is_empty() {
            let taken = data.split_to(data.len().min(CHUNK_BYTES - self.gathered.len()));
            self.gathered.extend_from_slice(&taken);
            if self.gathered.len() >= CHUNK_BYTES {
                self.write_gathered().await?;
            }
        }
        Ok(())
    }

    async fn write_gathered(&mut self) -> Result<(), BlobFault> {
        let (Some(mut open), chunk) = (self.open.take(), std::mem::take(&mut self.gathered)) else { return Err(gone()) };
        let (open, chunk) = blocking(move || open.write(&chunk).map(|()| (open, chunk))).await?;
        self.open = Some(open);
        self.gathered = chunk;
        self.gathered.clear();
        Ok(())
    }

    /// Makes the file durable, with its name.
    pub(super) async fn finish(mut self) -> Result<WrittenBlob, BlobFault> {
        self.write_gathered().await?;
        let (Some(mut open), bytes) = (self.open.take(), self.bytes) else { return Err(gone()) };
        blocking(move || {
            open.file.sync_all()?;
            let md5 = std::mem::replace(&mut open.md5, Md5::new()).finalize();
            let checksum = std::mem::take(&mut open.hasher).finalize();
            if let Some(claim) = &open.claim {
                claim.folder().sync_name(&claim.id)?;
            }
            let claim = open.claim.take().ok_or_else(gone)?;
            Ok(WrittenBlob { claim, bytes, md5, checksum })
        })
        .await
    }
}

fn gone() -> BlobFault {
    BlobFault::Io(io::Error::other("the file was given up after an error"))
}

/// Runs what blocks on a thread for it.
pub(super) async fn blocking<T: Send + 'static>(job: impl FnOnce() -> Result<T, BlobFault> + Send + 'static) -> Result<T, BlobFault> {
    tokio::task::spawn_blocking(job).await.unwrap_or_else(|error| Err(BlobFault::Io(io::Error::other(error))))
}
