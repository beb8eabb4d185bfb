//! `driftless export-identity`: writes everything that belongs to an identity as one JSON document.

use std::io::Write;
use std::path::Path;

use super::admin_client::{AdminClient, BodyStream, percent_encoded};
use super::error::OperatorError;
use super::output::{ResultFormat, line, size, text};
use crate::client::{create_private, note};
use serde_json::json;

/// What the document begins with.
const EXPORT_BEGINS: &[u8] = b"{\"format\":";

/// Writes the document to a new file, or to stdout.
pub(super) async fn run(server: &AdminClient, identity: &str, out: Option<&Path>) -> Result<(), OperatorError> {
    let stream = server.stream(&format!("identities/{}/export", percent_encoded(identity)), EXPORT_BEGINS).await?;
    let Some(path) = out else { return copy(stream, text).await.map(drop) };
    let mut file = create_private(path).map_err(|why| OperatorError::file(path, why))?;
    let failed = |why| OperatorError::file(path, why);
    match copy(stream, |part| file.write_all(part).map_err(failed)).await.and_then(|bytes| file.sync_all().map(|()| bytes).map_err(failed))
    {
        Ok(bytes) => match server.format {
            ResultFormat::Json => line(&json!({ "identity": identity, "file": path.display().to_string(), "bytes": bytes }).to_string())?,
            ResultFormat::Text => note(&format!("{identity} exported to {}, {}", path.display(), size(bytes))),
        },
        Err(failure) => {
            // An incomplete document looks like a whole one, and would be in the way of the next attempt.
            let _ = std::fs::remove_file(path);
            return Err(failure);
        }
    }
    Ok(())
}

/// Passes the document on, part by part; returns its bytes.
async fn copy(mut stream: BodyStream, mut write: impl FnMut(&[u8]) -> Result<(), OperatorError>) -> Result<u64, OperatorError> {
    let mut bytes = 0;
    loop {
        let next = stream.next().await.map_err(|why| {
            OperatorError::File(format!(
                "the server ended the export, the document is incomplete: {why}; see the server's log, and try again"
            ))
        });
        let Some(part) = next? else { break };
        bytes += part.len() as u64;
        write(&part)?;
    }
    Ok(bytes)
}
