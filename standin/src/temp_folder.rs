//! A temporary folder that is deleted when its owner is dropped.

use std::io;
use std::path::PathBuf;

use uuid::Uuid;

pub(crate) struct TempFolder(pub(crate) PathBuf);

impl TempFolder {
    /// A new folder that only the current user can read.
    pub(crate) fn new() -> io::Result<TempFolder> {
        let path = std::env::temp_dir().join(format!("driftless-gateway-{}", Uuid::new_v4()));
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(TempFolder(path))
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
