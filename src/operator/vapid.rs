//! `driftless vapid`: makes the key pair with which a pool's Web Push app identifies itself. It asks no server.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::json;

use super::error::OperatorError;
use super::output::{ResultFormat, line};
use crate::client::note;
use crate::push;

/// Makes a key pair, writes the private key to a new file that nobody else on this machine may read, and prints the public key.
pub(super) fn make(path: &Path, format: ResultFormat) -> Result<(), OperatorError> {
    let pair = push::new_vapid_key_pair().ok_or_else(|| OperatorError::File("the system has no random bytes".to_owned()))?;
    let exists = "the file exists and stays as it is, because browsers that subscribed with a key accept no other; \
                  name another file, or print its public key with --public";
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|why| match why.kind() {
        ErrorKind::AlreadyExists => OperatorError::file(path, exists),
        _ => OperatorError::file(path, why),
    })?;
    let written = file.write_all(pair.private_pem.as_bytes()).and_then(|()| file.sync_all());
    if let Err(why) = written.and_then(|()| sync_folder(path)) {
        // A part of a key is of no use, and would be in the way of the next attempt.
        let _ = std::fs::remove_file(path);
        return Err(OperatorError::file(path, why));
    }
    note(&format!("{}: the private key; keep it, and name it in vapid_key_file", path.display()));
    print(path, &pair.public_key, format)
}

/// Prints the public key of a file.
pub(super) fn print_public(path: &Path, format: ResultFormat) -> Result<(), OperatorError> {
    print(path, &push::read_vapid_public_key(path).map_err(|why| OperatorError::File(why.to_string()))?, format)
}

fn print(path: &Path, public_key: &str, format: ResultFormat) -> Result<(), OperatorError> {
    match format {
        ResultFormat::Json => line(&json!({ "file": path.display().to_string(), "public_key": public_key }).to_string()),
        ResultFormat::Text => line(public_key),
    }
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
