//! Makes reads of a file return what is on disk.
//!
//! After a failed write the kernel can hold pages that it never wrote and still marks as clean. They must not be read back as if they were
//! durable.

use std::fs::File;

use rustix::fs::{Advice, fadvise};

/// Drops the file's cached pages, once the file can be synced again.
pub(super) fn discard(file: &File) -> std::io::Result<()> {
    file.sync_all()?;
    Ok(fadvise(file, 0, None, Advice::DontNeed)?)
}
