//! `driftless restore`: makes a new store from a backup, in a folder that no server uses.

use std::path::Path;

use driftless_protocol::Epoch;
use uuid::Uuid;

use super::error::OperatorError;
use super::output::{ResultFormat, line, utc};
use crate::client::ProgressLine;
use crate::store::{self, BackupSummary, EngineConfig, RestoreError};
use serde_json::json;

/// Makes a store in a folder that is empty or does not exist. The store gets a new epoch.
pub fn restore(file: &Path, folder: &Path, config: &EngineConfig, format: ResultFormat) -> Result<(), OperatorError> {
    let epoch = Epoch::new(&Uuid::new_v4().simple().to_string()).map_err(|error| OperatorError::Input(error.to_string()))?;
    let progress = ProgressLine::start();
    progress.show("checking the backup");
    let report = |done: u64, all: u64| progress.show(&format!("restored {done} of {all} rows, {} %", done * 100 / all.max(1)));
    let restored = store::restore(file, folder, config, &epoch, report);
    progress.show("");
    let restored = restored.map_err(|error| match error {
        RestoreError::Damaged(damage) => OperatorError::file(file, damage),
        RestoreError::NotEmpty(_) | RestoreError::Store(_) | RestoreError::Io(..) => OperatorError::File(error.to_string()),
    });
    let BackupSummary { epoch: old, made_ms, rows, .. } = restored?;
    if format == ResultFormat::Json {
        let restored =
            json!({ "folder": folder, "rows": rows, "begun_ms": made_ms, "epoch": epoch.to_string(), "former_epoch": old.to_string() });
        return line(&restored.to_string());
    }
    line(&format!(
        "{} has the store as it was at {} UTC or a little later: {rows} rows, epoch {epoch} (formerly {old})",
        folder.display(),
        utc(made_ms)
    ))?;
    line(&format!("next: start the server on it (data = {folder:?}, or --data {})", folder.display()))?;
    line("devices detect the new epoch: they receive the restored records, and write again what they had written since the backup")
}
