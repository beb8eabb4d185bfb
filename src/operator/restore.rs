//! A fresh store from a backup. No server runs on it meanwhile.

use std::path::Path;

use driftless_protocol::Epoch;
use uuid::Uuid;

use super::Failure;
use super::output::{line, utc};
use crate::client::Progress;
use crate::store::{self, BackupSummary, EngineConfig, RestoreError};

/// Makes a store in a folder that is empty or not there.
pub fn restore(file: &Path, folder: &Path, config: &EngineConfig) -> Result<(), Failure> {
    let epoch = Epoch::new(&Uuid::new_v4().simple().to_string()).map_err(|error| Failure::Input(error.to_string()))?;
    let progress = Progress::start();
    progress.show("checking the backup");
    let shown = |done: u64, all: u64| progress.show(&format!("restored {done} of {all} rows, {} %", done * 100 / all.max(1)));
    let restored = store::restore(file, folder, config, &epoch, shown);
    progress.show("");
    let restored = restored.map_err(|error| match error {
        RestoreError::Damaged(damage) => Failure::file(file, damage),
        RestoreError::NotEmpty(_) | RestoreError::Store(_) | RestoreError::Io(..) => Failure::File(error.to_string()),
    });
    let BackupSummary { epoch: old, made_ms, rows, .. } = restored?;
    line(&format!(
        "{} holds the store as it was at {} UTC or a little later: {rows} rows, epoch {epoch} (it was {old})",
        folder.display(),
        utc(made_ms)
    ))?;
    line(&format!("next: start the server on it (data = {folder:?}, or --data {})", folder.display()))?;
    line("devices notice by themselves: they get what is there, and offer again what they had written since")
}
