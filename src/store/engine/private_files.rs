//! Files and folders that only the server's own account can use, whatever the umask: they hold every record.
//!
//! A folder that is there already is tightened, but only where it is known to be a store's: `--data` may name a folder that others use, such
//! as `/tmp` or the root of a disk.

use std::ffi::OsStr;
use std::fs::{DirBuilder, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use tracing::warn;

use super::layout;

/// A file for its owner.
const FILE_MODE: u32 = 0o600;

/// A folder for its owner.
const FOLDER_MODE: u32 = 0o700;

/// What the group and everyone else may do.
const OTHERS: u32 = 0o077;

/// The options to open a file, which is created for the owner alone if it is missing.
pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
    options
}

/// Creates a folder and those above it that are missing, for the owner alone.
pub(super) fn create_folders(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

/// Takes the group's and everyone's access to a store's files, and to its folder unless the folder has files of others. What cannot be
/// changed is logged, and changes nothing else: the folder may belong to another account that lends it to this one.
pub(in crate::store) fn tighten(folder: &Path) {
    let mut tightened = 0;
    let mut has_others = false;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match layout::is_own(&entry.file_name()) {
            true => tightened += tighten_below(&entry.path()),
            false => has_others |= entry.file_name() != OsStr::new("lost+found"),
        }
    }
    if tightened > 0 {
        warn!(folder = %folder.display(), files = tightened, "other accounts had access to files of the data folder; it was taken");
    }
    match folder.metadata() {
        Ok(about) if is_open(&about) && has_others => {
            warn!(folder = %folder.display(), "data folder has files that are not the store's, so other accounts keep their access to it");
        }
        Ok(about) if is_open(&about) => {
            let mode = format!("{:o}", about.permissions().mode() & 0o7777);
            if set_private(folder, &about) {
                warn!(folder = %folder.display(), mode, "other accounts had access to the data folder; it was taken");
            }
        }
        _ => {}
    }
}

/// Tightens a file, or a folder of the store with its files; returns how many were changed. Links are not followed.
fn tighten_below(path: &Path) -> u64 {
    let Ok(about) = path.symlink_metadata() else { return 0 };
    let below = if about.is_dir() {
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|one| tighten_below(&one.path())).sum()
    } else {
        0
    };
    let changes = (about.is_file() || about.is_dir()) && is_open(&about) && set_private(path, &about);
    below + u64::from(changes)
}

fn is_open(about: &Metadata) -> bool {
    about.permissions().mode() & OTHERS != 0
}

fn set_private(path: &Path, about: &Metadata) -> bool {
    match std::fs::set_permissions(path, Permissions::from_mode(about.permissions().mode() & 0o7777 & !OTHERS)) {
        Ok(()) => true,
        Err(error) => {
            warn!(path = %path.display(), %error, "access of other accounts cannot be taken");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().expect("is there").permissions().mode() & 0o777
    }

    fn make(path: &Path, mode: u32) {
        std::fs::write(path, "rows").expect("writes");
        std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("is set");
    }

    #[test]
    fn a_folder_that_others_could_read_is_tightened() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("a/b");
        create_folders(&data).expect("creates");
        assert_eq!((mode(&data), mode(&folder.path().join("a"))), (0o700, 0o700));
        std::fs::set_permissions(&data, Permissions::from_mode(0o755)).expect("is set");
        make(&data.join("db"), 0o644);
        make(&data.join("journal.0"), 0o660);
        std::fs::create_dir(data.join("blobs")).expect("creates");
        tighten(&data);
        assert_eq!([".", "db", "journal.0", "blobs"].map(|name| mode(&data.join(name))), [0o700, 0o600, 0o600, 0o700]);
    }

    #[test]
    fn files_of_others_and_the_folder_they_are_in_stay_as_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let shared = folder.path().join("shared");
        std::fs::create_dir(&shared).expect("creates");
        std::fs::set_permissions(&shared, Permissions::from_mode(0o777)).expect("is set");
        make(&shared.join("letter.txt"), 0o644);
        make(&shared.join("db"), 0o644);
        make(&folder.path().join("elsewhere"), 0o644);
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), shared.join("conf")).expect("links");
        tighten(&shared);
        assert_eq!([".", "letter.txt", "db", "conf"].map(|name| mode(&shared.join(name))), [0o777, 0o644, 0o600, 0o644]);
    }
}
