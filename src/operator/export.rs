//! All that belongs to an identity, as one document.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::Failure;
use super::output::{size, text};
use super::server::{Server, part};
use crate::client::note;

/// Writes the document to a file or to stdout.
pub(super) async fn run(server: &Server, identity: &str, out: Option<&Path>) -> Result<(), Failure> {
    let mut stream = server.stream(&format!("identities/{}/export", part(identity))).await?;
    let mut file = out.map(|path| File::create_new(path).map(|file| (file, path)).map_err(|why| Failure::file(path, why))).transpose()?;
    let mut bytes = 0;
    loop {
        let next = stream.next().await.map_err(|why| {
            Failure::File(format!("the server broke the document off, what is there of it is not whole: {why}; see its log, and try again"))
        });
        let Some(part) = next? else { break };
        bytes += part.len() as u64;
        match &mut file {
            Some((file, path)) => file.write_all(&part).map_err(|why| Failure::file(path, why))?,
            None => text(&part)?,
        }
    }
    if let Some((file, path)) = file {
        file.sync_all().map_err(|why| Failure::file(path, why))?;
        note(&format!("all of {identity} is in {}, {}", path.display(), size(bytes)));
    }
    Ok(())
}
