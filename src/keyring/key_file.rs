//! The key file: 32 random bytes beside the store, made at the first start, readable by the server's own account, and in no backup.
//!
//! A file is made whole or not at all, also if the power fails, and never over another one. A file that cannot be read, or that is not 32 bytes,
//! is an error: a new key in its place would lock away everything that the old one wrapped.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::secret_key::{CryptoFailed, KEY_BYTES, SecretKey};
use super::wrapping::{WITHOUT_KEY_FILE, WrappingKey};

/// A file for its owner.
const FILE_MODE: u32 = 0o600;

/// What the group and everyone else may do.
const OTHERS: u32 = 0o077;

/// Whether the store has rows that a key file has wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredKeys {
    None,
    Some,
}

/// The key of a key file.
#[derive(Debug)]
pub struct LoadedKeyFile {
    pub key: WrappingKey,
    /// Other accounts of this machine have access to the file. That is how container runtimes mount secrets, so it is for the log and no error.
    pub is_open_to_others: bool,
}

/// Reads the key file, or makes it if there is none and the store has nothing that an earlier one wrapped.
pub fn load_or_create(path: &Path, stored: StoredKeys) -> Result<LoadedKeyFile, KeyFileError> {
    match (load(path), stored) {
        // If another server that shares the file was quicker, its key is the one.
        (Err(KeyFileError::Missing(_)), StoredKeys::None) => create(path).or_else(|why| load(path).map_err(|_| why)),
        (loaded, _) => loaded,
    }
}

fn load(path: &Path) -> Result<LoadedKeyFile, KeyFileError> {
    let unreadable = |why: io::Error| match why.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing(path.to_owned()),
        _ => KeyFileError::Unreadable(path.to_owned(), why.to_string()),
    };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    // One byte more than a key tells a longer file, however long it is.
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    // A power failure leaves zeros where a file's size was written and its bytes were not.
    let key = SecretKey::from_bytes(&bytes).filter(|key| key.bytes() != &[0; KEY_BYTES]);
    let key = key.ok_or_else(|| KeyFileError::NoKey(path.to_owned()))?;
    Ok(LoadedKeyFile { key: WrappingKey::new(key), is_open_to_others: mode & OTHERS != 0 })
}

/// Makes the file under another name, and links it to its own when all of it is on the disk. Linking never replaces a file.
fn create(path: &Path) -> Result<LoadedKeyFile, KeyFileError> {
    let key = WrappingKey::new(SecretKey::random()?);
    let mut suffix = [0; 8];
    rand::fill(&mut suffix).map_err(|_| CryptoFailed)?;
    let draft = path.with_extension(format!("{:016x}.new", u64::from_be_bytes(suffix)));
    let written = write_new(&draft, key.bytes()).and_then(|()| std::fs::hard_link(&draft, path)).and_then(|()| sync_folder(path));
    // It is not needed any more, or it is a part of a key that nothing has used.
    let _ = std::fs::remove_file(&draft);
    written.map_err(|why| KeyFileError::NotMade(path.to_owned(), why.to_string()))?;
    Ok(LoadedKeyFile { key, is_open_to_others: false })
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFileError {
    /// The store has rows that a key file has wrapped, and the file is not there.
    Missing(PathBuf),
    Unreadable(PathBuf, String),
    /// It is not 32 bytes, or only zeros.
    NoKey(PathBuf),
    /// A new one was not made.
    NotMade(PathBuf, String),
    /// The system has no random bytes.
    Failed(CryptoFailed),
}

impl From<CryptoFailed> for KeyFileError {
    fn from(why: CryptoFailed) -> KeyFileError {
        KeyFileError::Failed(why)
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyFileError::Missing(path) => {
                write!(f, "key file {} is missing, and the store has keys that it wrapped; {WITHOUT_KEY_FILE}", path.display())
            }
            KeyFileError::Unreadable(path, why) => write!(f, "key file {} cannot be read: {why}", path.display()),
            KeyFileError::NoKey(path) => {
                write!(f, "key file {} is not a key of {KEY_BYTES} bytes; {WITHOUT_KEY_FILE}", path.display())
            }
            KeyFileError::NotMade(path, why) => write!(f, "key file {} cannot be made: {why}", path.display()),
            KeyFileError::Failed(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for KeyFileError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().expect("is there").permissions().mode() & 0o777
    }

    #[test]
    fn the_first_start_makes_the_file_and_the_next_one_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keyring.key");
        let made = load_or_create(&path, StoredKeys::None).expect("is made");
        assert_eq!((std::fs::read(&path).expect("reads").len(), mode(&path)), (32, 0o600));
        for stored in [StoredKeys::None, StoredKeys::Some] {
            let loaded = load_or_create(&path, stored).expect("reads");
            assert_eq!((loaded.key.bytes(), loaded.is_open_to_others), (made.key.bytes(), false));
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("reads").count(), 1, "nothing else is left");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).expect("sets");
        assert!(load_or_create(&path, StoredKeys::Some).expect("a mounted secret").is_open_to_others);
        let printed = format!("{:?}", load_or_create(&path, StoredKeys::Some));
        assert!(!printed.contains(&format!("{:?}", made.key.bytes())), "{printed}");
    }

    #[test]
    fn a_store_without_its_key_file_gets_no_new_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keyring.key");
        let error = load_or_create(&path, StoredKeys::Some).expect_err("is missing");
        assert!(error.to_string().contains("--new-keyring"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_key_is_an_error_and_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keyring.key");
        let huge = vec![7; 1024 * 1024];
        for bytes in [&[][..], &[7; 31], &[7; 33], &[0; 32], b"0123456789abcdef0123456789abcdef\n", &huge] {
            std::fs::write(&path, bytes).expect("writes");
            for stored in [StoredKeys::None, StoredKeys::Some] {
                assert_eq!(load_or_create(&path, stored).expect_err("no key"), KeyFileError::NoKey(path.clone()));
            }
            assert_eq!(std::fs::read(&path).expect("reads"), bytes);
        }
    }

    #[test]
    fn what_cannot_be_read_or_made_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let loaded = load_or_create(folder.path(), StoredKeys::None);
        assert!(matches!(loaded, Err(KeyFileError::Unreadable(..))), "a folder: {loaded:?}");
        let loaded = load_or_create(&folder.path().join("none").join("keyring.key"), StoredKeys::None);
        assert!(matches!(loaded, Err(KeyFileError::NotMade(..))), "no folder: {loaded:?}");
        // A link to a secret that is not mounted is not replaced.
        let link = folder.path().join("link.key");
        std::os::unix::fs::symlink(folder.path().join("unmounted"), &link).expect("links");
        let loaded = load_or_create(&link, StoredKeys::None);
        assert!(matches!(loaded, Err(KeyFileError::NotMade(..))), "a dangling link: {loaded:?}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("reads").count(), 1, "only the link");
    }

    #[test]
    fn of_servers_that_start_at_once_one_makes_the_file_and_all_use_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keyring.key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..8).map(|_| scope.spawn(|| load_or_create(&path, StoredKeys::None))).collect();
            started.into_iter().map(|one| one.join().expect("ends").expect("has a key")).collect()
        });
        let file = std::fs::read(&path).expect("is there");
        assert!(keys.iter().all(|loaded| loaded.key.bytes()[..] == file), "all have the key of the file");
        assert_eq!(std::fs::read_dir(folder.path()).expect("reads").count(), 1, "nothing else is left");
    }
}
