//! All that belongs to an identity as one document, part by part.

use super::{Admin, AdminResult, NotFound, is_there};
use crate::committer::{Reader, Unavailable};
use crate::store::{ExportCursor, Identity, Store};

/// A document under way: what was read of it, and how to go on.
pub struct Export {
    reader: Reader,
    identity: Identity,
    first: Option<String>,
    rest: Option<ExportCursor>,
}

impl Admin {
    /// Begins to export an identity.
    pub async fn export(&self, identity: Identity) -> AdminResult<Export> {
        let reader = self.reader.clone();
        let (first, rest) = match part(&reader, &identity, ExportCursor::default()).await? {
            Ok(part) => part,
            Err(missing) => return Ok(Err(missing)),
        };
        Ok(Ok(Export { reader, identity, first: Some(first), rest }))
    }
}

impl Export {
    /// The next part; `None` after the last one. An identity that goes meanwhile ends it with an error: half a document is none.
    pub async fn next(&mut self) -> Result<Option<String>, Unavailable> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(at) = self.rest.take() else { return Ok(None) };
        let (text, rest) = part(&self.reader, &self.identity, at).await?.map_err(|_| Unavailable::Now)?;
        self.rest = rest;
        Ok(Some(text))
    }
}

async fn part(reader: &Reader, identity: &Identity, at: ExportCursor) -> AdminResult<(String, Option<ExportCursor>)> {
    let identity = identity.clone();
    let read = move |store: &Store| {
        let part = store.export(&identity, at)?;
        // Asked afterwards: whatever goes while it is read makes the part void.
        Ok(if is_there(store, &identity)? { Ok(part) } else { Err(NotFound::Identity) })
    };
    reader.read(read).await
}
