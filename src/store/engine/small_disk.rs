//! A small file system of a test's own, which it can fill up.
//!
//! Needs root and a loop device; without them the tests print that and do nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The size of the file system: several of sled's segments.
const DISK_MIB: u64 = 128;

/// An ext4 file system on a loop device, mounted until it is dropped.
pub(super) struct SmallDisk {
    mount: PathBuf,
    _folder: tempfile::TempDir,
}

impl SmallDisk {
    pub(super) fn new() -> Option<SmallDisk> {
        let folder = tempfile::tempdir().expect("folder");
        let (image, mount) = (folder.path().join("image"), folder.path().join("mount"));
        std::fs::create_dir(&mount).expect("is made");
        std::fs::File::create(&image).and_then(|file| file.set_len(DISK_MIB << 20)).expect("is made");
        let run = |name: &str, arguments: &[&str], paths: &[&Path]| {
            Command::new(name).args(arguments).args(paths).output().is_ok_and(|output| output.status.success())
        };
        let made = run("mkfs.ext4", &["-q", "-F", "-m0"], &[&image]) && run("mount", &["-o", "loop"], &[&image, &mount]);
        if !made {
            eprintln!("NOT TESTED: a full disk needs root, mkfs.ext4 and a loop device");
        }
        made.then_some(SmallDisk { mount, _folder: folder })
    }

    pub(super) fn store(&self) -> PathBuf {
        self.mount.join("store")
    }

    /// Takes space until only `free_mib` are free. May be called again.
    pub(super) fn fill(&self, free_mib: u64) {
        let about = rustix::fs::statvfs(&self.mount).expect("is known");
        let free = about.f_bavail * about.f_frsize;
        let file = std::fs::File::options().append(true).create(true).open(self.ballast()).expect("is made");
        let (has, bytes) = (file.metadata().expect("is there").len(), free.saturating_sub(free_mib << 20));
        if bytes > 0 {
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), has, bytes).expect("is taken");
        }
    }

    /// Takes all space that a file can get.
    pub(super) fn fill_up(&self) {
        let file = std::fs::File::options().append(true).create(true).open(self.ballast()).expect("is made");
        let (mut has, mut bytes) = (file.metadata().expect("is there").len(), DISK_MIB << 20);
        while bytes >= 1024 {
            match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), has, bytes) {
                Ok(()) => has += bytes,
                Err(_) => bytes /= 2,
            }
        }
    }

    pub(super) fn remove_ballast(&self) {
        std::fs::remove_file(self.ballast()).expect("is removed");
    }

    fn ballast(&self) -> PathBuf {
        self.mount.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.mount).status();
    }
}
