//! Everything that an identity owns as one JSON document, made in parts: the document can be larger than memory.
//!
//! Its lists are those of the row kinds' table, in that order: `identities`, `logins`, `devices`, `datasets`, `records`, `history`, ...
//! A write that is made while an export runs may or may not be in it.

use serde_json::Value;

use super::engine::Bytes;
use super::export_entries::entry;
use super::row_kinds::{ExportList, RowKind};
use super::row_source::RowSource;
use super::{Identity, Store, StoreError, keys, pieces};

/// The size at which a part of the document ends.
const PART_BYTES: usize = 256 * 1024;

/// How far an export is.
#[derive(Clone, Debug, Default)]
pub struct ExportCursor {
    /// The place of the current list among the exported ones.
    list: usize,
    /// The key from which the current list goes on; empty: the list has not begun.
    start: Bytes,
    /// Whether the current list has an entry already.
    has_entries: bool,
}

impl ExportCursor {
    fn at_list(list: usize) -> ExportCursor {
        ExportCursor { list, ..ExportCursor::default() }
    }
}

impl Store {
    /// The next part of an identity's document, and the cursor for the part after it, `None` after the last one. The first part is that of
    /// [`ExportCursor::default`].
    pub fn export(&self, identity: &Identity, mut cursor: ExportCursor) -> Result<(String, Option<ExportCursor>), StoreError> {
        let mut text = String::new();
        if cursor.list == 0 && cursor.start.is_empty() {
            let (identity, epoch) = (Value::from(identity.as_str()), Value::from(self.epoch.as_str()));
            text.push_str(&format!("{{\"format\":1,\"identity\":{identity},\"epoch\":{epoch}"));
        }
        for (kind, name, is_cut) in exported().skip(cursor.list) {
            let prefix = keys::of_identity(kind, identity);
            if cursor.start.is_empty() {
                text.push_str(&format!(",\n\"{name}\":["));
                cursor.start = prefix.clone();
            }
            while let Some((key, content)) = self.next_content(&cursor.start, &keys::prefix_end(&prefix), is_cut)? {
                text.push_str(if cursor.has_entries { ",\n" } else { "\n" });
                text.push_str(&entry(kind, identity, &key, &content)?.to_string());
                cursor = ExportCursor { start: keys::prefix_end(&key), has_entries: true, ..cursor };
                if text.len() >= PART_BYTES {
                    return Ok((text, Some(cursor)));
                }
            }
            text.push(']');
            cursor = ExportCursor::at_list(cursor.list + 1);
        }
        text.push_str("\n}\n");
        Ok((text, None))
    }

    /// The key and the content of a range's first row. If the content is cut into rows, they are joined, and the key is
    /// the one that they share.
    fn next_content(&self, start: &[u8], end: &[u8], is_cut: bool) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        let Some((mut key, row)) = self.engine.scan(start, end, 1)?.pop() else { return Ok(None) };
        if !is_cut {
            // No key of these kinds begins with another one of its kind: the next row is not before the end of this key as a prefix.
            return Ok(Some((key, row)));
        }
        key.truncate(key.len() - pieces::NUMBER_BYTES);
        match self.engine.content(&key)? {
            Some(content) => Ok(Some((key, content.to_vec()))),
            // A write has moved the record meanwhile.
            None => self.next_content(&keys::prefix_end(&key), end, is_cut),
        }
    }
}

/// The exported kinds, each with the name of its list and whether its contents are cut into rows.
fn exported() -> impl Iterator<Item = (RowKind, &'static str, bool)> {
    RowKind::owned_by_identity().filter_map(|kind| match kind.export() {
        ExportList::Rows(name) => Some((kind, name, false)),
        ExportList::Contents(name) => Some((kind, name, true)),
        ExportList::Omitted => None,
    })
}
