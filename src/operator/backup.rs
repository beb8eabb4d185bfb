//! `driftless backup`: writes a backup of a running server's store to a file. The file appears only when it is complete and checked.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use super::admin_client::AdminClient;
use super::error::OperatorError;
use super::output::{ResultFormat, line, size, utc};
use crate::client::{ProgressLine, create_private};
use crate::invocation;
use crate::store::{BackupChecker, BackupSummary};
use serde_json::json;

/// What the first part of a backup begins with, in every format.
const BACKUP_BEGINS: &[u8] = b"driftless backup ";

pub(super) async fn run(server: &AdminClient, path: &Path, force: bool) -> Result<(), OperatorError> {
    if path.exists() && !force {
        return Err(OperatorError::file(path, "the file exists; name another one, or replace it with --force"));
    }
    let partial = partial_path(path);
    let summary = match download(server, &partial).await.and_then(|()| check(&partial)) {
        Ok(summary) => summary,
        Err(failure) => {
            // An incomplete backup cannot be restored.
            let _ = fs::remove_file(&partial);
            return Err(failure);
        }
    };
    fs::rename(&partial, path).and_then(|()| File::open(parent_folder(path))?.sync_all()).map_err(|why| OperatorError::file(path, why))?;
    let BackupSummary { epoch, made_ms, rows, bytes, .. } = summary;
    if server.format == ResultFormat::Json {
        let made =
            json!({ "file": path.display().to_string(), "rows": rows, "bytes": bytes, "begun_ms": made_ms, "epoch": epoch.to_string() });
        return line(&made.to_string());
    }
    line(&format!(
        "{}: {rows} rows, {}, begun {} UTC, epoch {epoch}; all checksums are correct",
        path.display(),
        size(bytes),
        utc(made_ms)
    ))?;
    line(&format!("to restore it: {} restore {} --data NEW-FOLDER", invocation::name(), path.display()))
}

fn partial_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".part");
    PathBuf::from(name)
}

fn parent_folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

async fn download(server: &AdminClient, path: &Path) -> Result<(), OperatorError> {
    let mut stream = server.stream("backup", BACKUP_BEGINS).await?;
    // An interrupted command may have left one. It is made anew, so that it has its own mode and not that one's.
    let _ = fs::remove_file(path);
    let mut file = create_private(path).map_err(|why| OperatorError::file(path, why))?;
    let (progress, mut bytes) = (ProgressLine::start(), 0);
    loop {
        let next = stream.next().await.map_err(|why| {
            OperatorError::File(format!(
                "the server ended the backup after {}: {why}; see the server's log: it shuts down, its store fails, or the backup is slower than \
                 the writes; the incomplete file was deleted, try again",
                size(bytes)
            ))
        });
        let Some(part) = next? else { break };
        file.write_all(&part).map_err(|why| OperatorError::file(path, why))?;
        bytes += part.len() as u64;
        progress.show(&format!("copied {}", size(bytes)));
    }
    file.sync_all().map_err(|why| OperatorError::file(path, why))?;
    progress.end(&format!("copied {}, checking it", size(bytes)));
    Ok(())
}

/// Reads the file back and checks it as a restore does.
fn check(path: &Path) -> Result<BackupSummary, OperatorError> {
    let file = File::open(path).map_err(|why| OperatorError::file(path, why))?;
    BackupChecker::begin(BufReader::new(file)).and_then(BackupChecker::check).map_err(|damage| OperatorError::file(path, damage))
}
