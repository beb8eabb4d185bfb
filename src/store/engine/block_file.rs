//! A file that is written in whole blocks, past the page cache where the file system allows it (`O_DIRECT`): a write then goes to the disk
//! at once and not through a page that the sync has to find again, and it fills no memory that others need.
//!
//! File systems refuse that in different places: when the mode is set, at the first write, or at a later one. Each refusal ends the mode for
//! good and the write is made again, through the page cache.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use tracing::debug;

use super::{page_cache, private_files};

pub(super) struct BlockFile {
    file: File,
    mode: WriteMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteMode {
    /// Of any bytes, through the page cache.
    Any,
    /// Of whole blocks, past the page cache.
    Direct,
    /// Of whole blocks, through the page cache: the file system refuses the other mode.
    Cached,
}

impl BlockFile {
    /// Opens or creates a file, whose reads return what is on disk.
    pub(super) fn open(path: &Path) -> io::Result<BlockFile> {
        let file = private_files::options().open(path)?;
        // An earlier process may have failed to write some of the cached pages.
        page_cache::discard(&file)?;
        Ok(BlockFile { file, mode: WriteMode::Any })
    }

    /// From now on all writes are of whole blocks from an aligned address (`AlignedBuffer`), at whole blocks of the file.
    pub(super) fn use_blocks(&mut self) {
        if self.mode == WriteMode::Any {
            self.mode = if self.set_direct(true).is_ok() { WriteMode::Direct } else { WriteMode::Cached };
        }
    }

    pub(super) fn write_all_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        match self.file.write_all_at(bytes, at) {
            Err(error) if self.mode == WriteMode::Direct && is_refusal(&error) => {
                debug!(%error, "file system takes no direct writes");
                self.mode = WriteMode::Cached;
                self.set_direct(false)?;
                self.file.write_all_at(bytes, at)
            }
            other => other,
        }
    }

    pub(super) fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Changes the size; not durable yet.
    pub(super) fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_direct(&self, is_direct: bool) -> io::Result<()> {
        let mut flags = fcntl_getfl(&self.file)?;
        flags.set(OFlags::DIRECT, is_direct);
        Ok(fcntl_setfl(&self.file, flags)?)
    }
}

/// Whether a write failed for its form: an address, a place or a length that is no multiple of the file system's block, or because there are
/// no direct writes at all.
fn is_refusal(error: &io::Error) -> bool {
    [Errno::INVAL, Errno::OPNOTSUPP].iter().any(|refusal| error.raw_os_error() == Some(refusal.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::store::engine::aligned_buffer::{AlignedBuffer, BLOCK_BYTES};

    fn block(byte: u8) -> AlignedBuffer {
        let mut buffer = AlignedBuffer::default();
        buffer.clear_for(BLOCK_BYTES);
        buffer.extend(&[byte; BLOCK_BYTES]);
        buffer
    }

    fn check_mode(file: &BlockFile) {
        let flags = fcntl_getfl(&file.file).expect("is open");
        assert_eq!(flags.contains(OFlags::DIRECT), file.mode == WriteMode::Direct);
    }

    /// A file system that refuses the mode, mounted until it is dropped.
    struct RamDisk(tempfile::TempDir);

    impl RamDisk {
        fn new() -> Option<RamDisk> {
            let folder = tempfile::tempdir().expect("a folder");
            let mounted = Command::new("mount").args(["-t", "ramfs", "none"]).arg(folder.path()).status();
            mounted.is_ok_and(|status| status.success()).then_some(RamDisk(folder))
        }
    }

    impl Drop for RamDisk {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
        }
    }

    /// Writes the same blocks to a file wherever it is, with one among them that cannot go past the page cache of a disk.
    fn check_refusals(folder: &Path) -> [WriteMode; 2] {
        let path = folder.join("blocks");
        let mut file = BlockFile::open(&path).expect("opens");
        file.write_all_at(b"any", 5).expect("writes");
        file.use_blocks();
        check_mode(&file);
        file.write_all_at(block(1).bytes(), 0).expect("writes");
        check_mode(&file);
        let before = file.mode;
        file.write_all_at(&block(2).bytes()[1..100], BLOCK_BYTES as u64 + 1).expect("writes");
        check_mode(&file);
        file.use_blocks();
        file.write_all_at(block(3).bytes(), 2 * BLOCK_BYTES as u64).expect("writes");
        file.sync_data().expect("syncs");
        check_mode(&file);
        let bytes = std::fs::read(&path).expect("reads");
        assert_eq!([0, 5, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES].map(|at| bytes[at]), [1, 1, 1, 0, 2, 3]);
        assert_eq!(bytes.len() as u64, file.length().expect("is there"));
        [before, file.mode]
    }

    #[test]
    fn a_later_refusal_is_answered_by_a_write_through_the_page_cache() {
        let modes = check_refusals(tempfile::tempdir().expect("a folder").path());
        // Where the temporary folder is in memory, no write is refused.
        println!("{modes:?}");
        assert_ne!(modes[1], WriteMode::Any);
    }

    #[test]
    fn a_write_that_fails_for_another_reason_keeps_the_mode() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = BlockFile::open(&folder.path().join("blocks")).expect("opens");
        file.use_blocks();
        file.write_all_at(block(1).bytes(), 0).expect("writes");
        let before = file.mode;
        // Beyond the largest file.
        let error = file.write_all_at(block(2).bytes(), 1 << 62).expect_err("fails");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        check_mode(&file);
        assert_eq!(file.mode, before);
    }

    /// Needs root.
    #[test]
    fn a_file_system_that_refuses_the_mode_is_written_through_the_page_cache() {
        match RamDisk::new() {
            Some(disk) => assert_eq!(check_refusals(disk.0.path()), [WriteMode::Cached; 2]),
            None => eprintln!("NOT TESTED: a file system without direct writes needs root"),
        }
    }
}
