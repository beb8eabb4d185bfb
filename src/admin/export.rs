//! Everything that belongs to an identity as one JSON document, part by part.

use tracing::info;

use super::{Admin, AdminResult, NotFound, exists};
use crate::committer::{ReadOwner, Reader, Unavailable};
use crate::logging::AUDIT;
use crate::store::{ExportCursor, Identity, Store};

/// An export in progress.
pub struct ExportStream {
    reader: Reader,
    identity: Identity,
    first: Option<String>,
    rest: Option<ExportCursor>,
}

impl Admin {
    /// Begins to export an identity.
    pub async fn export(&self, identity: Identity) -> AdminResult<ExportStream> {
        let reader = self.reader.clone();
        let (first, rest) = match read_part(&reader, &identity, ExportCursor::default()).await? {
            Ok(part) => part,
            Err(missing) => return Ok(Err(missing)),
        };
        info!(target: AUDIT, %identity, "export of an identity begun");
        Ok(Ok(ExportStream { reader, identity, first: Some(first), rest }))
    }
}

impl ExportStream {
    /// The next part; `None` after the last one. Fails if the identity is erased or merged meanwhile, because a part of a document is of no use.
    pub async fn next(&mut self) -> Result<Option<String>, Unavailable> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(at) = self.rest.take() else { return Ok(None) };
        let (text, rest) = read_part(&self.reader, &self.identity, at).await?.map_err(|_| Unavailable::Now)?;
        self.rest = rest;
        Ok(Some(text))
    }
}

async fn read_part(reader: &Reader, identity: &Identity, at: ExportCursor) -> AdminResult<(String, Option<ExportCursor>)> {
    let identity = identity.clone();
    let read = move |store: &Store| {
        let part = store.export(&identity, at)?;
        // Checked after the read: if the identity was erased meanwhile, the part is incomplete.
        Ok(if exists(store, &identity)? { Ok(part) } else { Err(NotFound::Identity) })
    };
    reader.read(ReadOwner::Server, read).await
}
