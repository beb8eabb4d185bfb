//! The folder into which messages are written where no mail server is configured: one text file each, the newest ones only.

use std::fs;
use std::io;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::message::{Message, MessageWay};

/// The folder's name within that of the data.
pub const OUTBOX_FOLDER: &str = "outbox";

/// Messages that stay in the folder: a day's work of somebody who develops an app.
const KEPT_MESSAGES: usize = 100;

pub(super) struct OutboxFolder {
    folder: PathBuf,
    written: AtomicU64,
}

impl OutboxFolder {
    pub(super) fn new(folder: PathBuf) -> OutboxFolder {
        OutboxFolder { folder, written: AtomicU64::new(0) }
    }

    /// Writes a message as a file that only this account can read, and removes the oldest ones. Names are in the order of time. Blocks.
    pub(super) fn write(&self, message: &Message) -> io::Result<()> {
        make_folder(&self.folder)?;
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |at| at.as_millis());
        let name = format!("{at_ms:013}-{:06}.txt", self.written.fetch_add(1, Ordering::Relaxed));
        let part = self.folder.join(format!("{name}.part"));
        write_private(&part, text(message).as_bytes())?;
        fs::rename(&part, self.folder.join(name))?;
        remove_oldest(&self.folder)
    }
}

fn text(message: &Message) -> String {
    let Message { way, to, subject, body } = message;
    match way {
        MessageWay::Email => format!("To: {to}\nSubject: {subject}\n\n{body}\n"),
        MessageWay::Sms => format!("To: {to}\n\n{body}\n"),
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(bytes)
}

fn remove_oldest(folder: &Path) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "txt") {
            names.push(path);
        }
    }
    names.sort();
    let over = names.len().saturating_sub(KEPT_MESSAGES);
    names[..over].iter().try_for_each(fs::remove_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_has_the_newest_messages_and_nobody_else_reads_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let outbox = OutboxFolder::new(folder.path().join(OUTBOX_FOLDER));
        for at in 0..KEPT_MESSAGES + 7 {
            let (subject, body) = ("s".to_owned(), format!("code {at}"));
            outbox.write(&Message { way: MessageWay::Email, to: "a@b".to_owned(), subject, body }).expect("writes");
        }
        let mut paths: Vec<_> =
            fs::read_dir(folder.path().join(OUTBOX_FOLDER)).expect("is there").map(|entry| entry.expect("reads").path()).collect();
        paths.sort();
        assert_eq!(paths.len(), KEPT_MESSAGES);
        assert_eq!(fs::read_to_string(&paths[0]).expect("reads"), "To: a@b\nSubject: s\n\ncode 7\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
            assert_eq!((mode(&paths[0]), mode(&folder.path().join(OUTBOX_FOLDER))), (0o600, 0o700));
        }
    }
}
