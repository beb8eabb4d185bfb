//! A disk whose power can be cut: ext4 on a loop device. Needs root and loop devices.
//!
//! The cut is ext4's own shutdown without flushing its journal: it drops every page and every metadata change that was not flushed to the
//! disk, and refuses all further I/O. Mounted again, the file system is what a machine finds after a power cut.

// For two system calls that the standard library lacks: `geteuid` and `ioctl`.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `EXT4_IOC_SHUTDOWN` and its flag `EXT4_GOING_FLAGS_NOLOGFLUSH`, from `fs/ext4/ext4.h`.
const SHUTDOWN: libc::Ioctl = 0x8004_587d_u32 as libc::Ioctl;
const WITHOUT_LOG_FLUSH: u32 = 2;

/// Size of the image. The file is sparse: only written blocks take space.
const BYTES: u64 = 2 << 30;

/// The names of the disks' folders begin with this, followed by the id of the process that made them.
const PREFIX: &str = "powercut-";

/// A mounted file system, unmounted and deleted when this is dropped.
pub struct LoopDisk {
    base: PathBuf,
}

impl LoopDisk {
    /// Makes and mounts a disk below a folder. The error says why this machine cannot.
    pub fn new(folder: &Path) -> Result<LoopDisk, String> {
        // SAFETY: no arguments, no memory.
        if unsafe { libc::geteuid() } != 0 {
            return Err("mounting needs root".to_owned());
        }
        remove_leftovers(folder);
        let disk = LoopDisk { base: folder.join(format!("{PREFIX}{}", std::process::id())) };
        std::fs::create_dir_all(disk.mount_point()).map_err(|error| error.to_string())?;
        File::create(disk.image()).and_then(|image| image.set_len(BYTES)).map_err(|error| error.to_string())?;
        let options = ["-q", "-F", "-m0", "-E", "lazy_itable_init=0,lazy_journal_init=0"].map(str::as_ref);
        run("mkfs.ext4", options.into_iter().chain([disk.image().as_path()]))?;
        disk.mount()?;
        Ok(disk)
    }

    /// The folder at which the file system is mounted.
    pub fn mount_point(&self) -> PathBuf {
        self.base.join("mnt")
    }

    /// Cuts the power: drops what is not flushed, and lets all further I/O fail.
    pub fn cut(&self) -> Result<(), String> {
        let root = File::open(self.mount_point()).map_err(|error| error.to_string())?;
        // SAFETY: the call reads one u32 behind the pointer, which lives until it returns.
        match unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN, &WITHOUT_LOG_FLUSH) } {
            0 => Ok(()),
            _ => Err(format!("cannot cut the power: {}", std::io::Error::last_os_error())),
        }
    }

    /// Mounts the file system again. No process may have a file of the old mount open.
    pub fn restore_power(&self) -> Result<(), String> {
        run("umount", [self.mount_point().as_path()])?;
        self.mount()
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", ["-o".as_ref(), "loop".as_ref(), self.image().as_path(), self.mount_point().as_path()])
    }

    fn image(&self) -> PathBuf {
        self.base.join("disk.img")
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        remove(&self.base);
    }
}

/// Removes the disks of processes that were killed before they could.
fn remove_leftovers(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            remove(&entry.path());
        }
    }
}

fn remove(base: &Path) {
    // Lazily, so that an open file does not keep the mount. The error is ignored: it may not be mounted at all.
    let _ = run("umount", ["-l".as_ref(), base.join("mnt").as_path()]);
    let _ = std::fs::remove_dir_all(base);
}

fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a Path>) -> Result<(), String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{program}: {error}")),
    }
}
