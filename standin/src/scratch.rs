//! A folder that goes when its owner does.

use std::io;
use std::path::PathBuf;

use uuid::Uuid;

pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    /// A fresh folder, which only its owner reads.
    pub(super) fn new() -> io::Result<Scratch> {
        let path = std::env::temp_dir().join(format!("driftless-gateway-{}", Uuid::new_v4()));
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
