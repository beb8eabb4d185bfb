//! A copy of a running server's store in a file: complete and checked, or not there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Failure;
use super::output::{line, size, utc};
use super::server::Server;
use crate::client::Progress;
use crate::store::{BackupChecker, BackupSummary};

/// Writes a backup.
pub(super) async fn run(server: &Server, path: &Path, force: bool) -> Result<(), Failure> {
    if path.exists() && !force {
        return Err(Failure::file(path, "there is something already; name another file, or replace it with --force"));
    }
    let beside = beside(path);
    let summary = match take(server, &beside).await.and_then(|()| checked(&beside)) {
        Ok(summary) => summary,
        Err(failure) => {
            // Half a backup is none.
            let _ = fs::remove_file(&beside);
            return Err(failure);
        }
    };
    fs::rename(&beside, path).and_then(|()| File::open(folder(path))?.sync_all()).map_err(|why| Failure::file(path, why))?;
    let BackupSummary { epoch, made_ms, rows, bytes, .. } = summary;
    line(&format!("{}: {rows} rows, {}, begun {} UTC, epoch {epoch}; every checksum holds", path.display(), size(bytes), utc(made_ms)))?;
    line(&format!("a store from it: driftless restore {} --data NEW-FOLDER", path.display()))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".part");
    PathBuf::from(name)
}

/// The folder that a file is in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

async fn take(server: &Server, path: &Path) -> Result<(), Failure> {
    let mut stream = server.stream("backup").await?;
    // It holds what every user has: nobody else on this machine may read it.
    let mut options = File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).map_err(|why| Failure::file(path, why))?;
    let (progress, mut bytes) = (Progress::start(), 0);
    loop {
        let next = stream.next().await.map_err(|why| {
            Failure::File(format!(
                "the server broke the copy off after {}: {why}; its log says why: it stops, its store fails, or writes come faster than they \
                 are copied; nothing was kept, try again",
                size(bytes)
            ))
        });
        let Some(part) = next? else { break };
        file.write_all(&part).map_err(|why| Failure::file(path, why))?;
        bytes += part.len() as u64;
        progress.show(&format!("copied {}", size(bytes)));
    }
    file.sync_all().map_err(|why| Failure::file(path, why))?;
    progress.end(&format!("copied {}, checking it", size(bytes)));
    Ok(())
}

/// Reads it back: what was written is what can be restored.
fn checked(path: &Path) -> Result<BackupSummary, Failure> {
    let file = File::open(path).map_err(|why| Failure::file(path, why))?;
    BackupChecker::begin(BufReader::new(file)).and_then(BackupChecker::check).map_err(|damage| Failure::file(path, damage))
}
