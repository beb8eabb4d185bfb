//! The folder of the files with the bytes of objects.

use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Disk space that is kept free for the store, in bytes: twice what the store itself keeps free, so that a large object never stops it.
const RESERVE_BYTES: u64 = 128 << 20;

/// The folder. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct BlobFolder {
    root: Arc<Path>,
    /// Files that are being written, or whose row is being committed.
    claimed: Arc<Mutex<HashSet<String>>>,
}

/// A file that belongs to a request until its row is committed.
#[derive(Debug)]
pub(super) struct BlobClaim {
    pub id: String,
    folder: BlobFolder,
}

impl BlobFolder {
    pub(super) fn open(root: PathBuf) -> io::Result<BlobFolder> {
        private_folder(&root)?;
        Ok(BlobFolder { root: root.into(), claimed: Arc::default() })
    }

    fn path(&self, id: &str) -> PathBuf {
        self.root.join(id.get(..2).unwrap_or_default()).join(id)
    }

    /// Makes a file with a new random name. Blocks.
    pub(super) fn create(&self) -> io::Result<(BlobClaim, File)> {
        let chance = getrandom::u64().and_then(|high| Ok((high, getrandom::u64()?))).map_err(io::Error::other)?;
        let id = format!("{:016x}{:016x}", chance.0, chance.1);
        let path = self.path(&id);
        if let Some(parent) = path.parent()
            && !parent.is_dir()
        {
            private_folder(parent)?;
            File::open(&*self.root)?.sync_all()?;
        }
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        let claim = BlobClaim { id, folder: self.clone() };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok((claim, file))
    }

    /// Makes a file's name durable. Blocks.
    pub(super) fn sync_name(&self, id: &str) -> io::Result<()> {
        match self.path(id).parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Opens a file to read it. Blocks.
    pub(super) fn read(&self, id: &str) -> io::Result<File> {
        File::open(self.path(id))
    }

    /// Deletes a file that nobody has bytes in. Blocks. One that cannot be deleted is left to the sweep.
    pub(super) fn delete(&self, id: &str) {
        let _ = std::fs::remove_file(self.path(id));
    }

    /// Whether there is space for more bytes beside the reserve. Blocks.
    pub(super) fn has_space(&self) -> bool {
        let free = rustix::fs::statvfs(&*self.root).map(|answer| answer.f_bavail.saturating_mul(answer.f_frsize));
        free.is_ok_and(|free| free > RESERVE_BYTES)
    }

    pub(super) fn is_claimed(&self, id: &str) -> bool {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// The names of the folders with files, in order. Blocks.
    pub(super) fn folders(&self) -> Vec<String> {
        let mut names: Vec<String> = names_in(&self.root).filter(|name| name.len() == 2).collect();
        names.sort_unstable();
        names
    }

    /// The files of such a folder that are nobody's claim. Blocks.
    pub(super) fn files(&self, folder: &str) -> Vec<String> {
        names_in(&self.root.join(folder)).filter(|id| is_blob_id(id) && !self.is_claimed(id)).collect()
    }
}

impl BlobClaim {
    pub(super) fn folder(&self) -> &BlobFolder {
        &self.folder
    }
}

impl Drop for BlobClaim {
    fn drop(&mut self) {
        self.folder.claimed.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

fn names_in(folder: &Path) -> impl Iterator<Item = String> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok())
}

fn is_blob_id(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
