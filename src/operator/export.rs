//! `driftless export-identity`: writes everything that belongs to an identity as one JSON document.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::admin_client::{AdminClient, percent_encoded};
use super::error::OperatorError;
use super::output::{size, text};
use crate::client::note;

/// Writes the document to a new file, or to stdout.
pub(super) async fn run(server: &AdminClient, identity: &str, out: Option<&Path>) -> Result<(), OperatorError> {
    let mut stream = server.stream(&format!("identities/{}/export", percent_encoded(identity))).await?;
    let mut file =
        out.map(|path| File::create_new(path).map(|file| (file, path)).map_err(|why| OperatorError::file(path, why))).transpose()?;
    let mut bytes = 0;
    loop {
        let next = stream.next().await.map_err(|why| {
            OperatorError::File(format!(
                "the server ended the export, the document is incomplete: {why}; see the server's log, and try again"
            ))
        });
        let Some(part) = next? else { break };
        bytes += part.len() as u64;
        match &mut file {
            Some((file, path)) => file.write_all(&part).map_err(|why| OperatorError::file(path, why))?,
            None => text(&part)?,
        }
    }
    if let Some((file, path)) = file {
        file.sync_all().map_err(|why| OperatorError::file(path, why))?;
        note(&format!("{identity} exported to {}, {}", path.display(), size(bytes)));
    }
    Ok(())
}
