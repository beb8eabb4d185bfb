//! All that belongs to an identity as one JSON document, made part by part: it can be larger than memory.
//!
//! Lists of it, by the names in [`owned`]: `account`, `logins`, `devices`, `datasets`, `records`, `history`, ... What is written while an
//! export runs may be in it or not.

use serde_json::Value;

use super::keys::Parts;
use super::owned::{Export, OWNED};
use super::{Identity, Store, StoreError, keys, pieces};

/// Bytes of the document that are made at a time, about.
const PART_BYTES: usize = 256 * 1024;

/// A key and what stands there.
type Entry = (Vec<u8>, Vec<u8>);

/// How far an export is.
#[derive(Clone, Debug, Default)]
pub struct Exported {
    /// The list, by its place in [`OWNED`].
    list: usize,
    /// The key after which to go on in it.
    after: Vec<u8>,
    /// Whether the list has an entry already.
    began: bool,
}

impl Store {
    /// The next part of an identity's document, and how far it is then; `None` after the last one. Begins with [`Exported::default`].
    pub fn export(&self, identity: &Identity, mut at: Exported) -> Result<(String, Option<Exported>), StoreError> {
        let mut text = String::new();
        if at.list == 0 && at.after.is_empty() {
            let (identity, epoch) = (Value::from(identity.as_str()), Value::from(self.epoch.as_str()));
            text.push_str(&format!("{{\"format\":1,\"identity\":{identity},\"epoch\":{epoch}"));
        }
        while let Some(owned) = OWNED.get(at.list) {
            let (name, say) = match owned.export {
                Export::Rows(name, say) | Export::Contents(name, say) => (name, say),
                Export::Index => {
                    at = Exported { list: at.list + 1, ..Exported::default() };
                    continue;
                }
            };
            let prefix = keys::owned(owned.kind, identity);
            if at.after.is_empty() {
                text.push_str(&format!(",\n\"{name}\":["));
                at.after = prefix.clone();
            }
            let is_cut = matches!(owned.export, Export::Contents(..));
            while let Some((key, content)) = self.next_content(&at.after, &keys::after(&prefix), is_cut)? {
                text.push_str(if at.began { ",\n" } else { "\n" });
                text.push_str(&say(&mut Parts::after(&key, &prefix)?, &content)?.to_string());
                at = Exported { after: keys::after(&key), began: true, ..at };
                if text.len() >= PART_BYTES {
                    return Ok((text, Some(at)));
                }
            }
            text.push(']');
            at = Exported { list: at.list + 1, ..Exported::default() };
        }
        text.push_str("\n}\n");
        Ok((text, None))
    }

    /// The first row of a range, or the first content that is cut into rows.
    fn next_content(&self, start: &[u8], end: &[u8], is_cut: bool) -> Result<Option<Entry>, StoreError> {
        let Some((mut key, row)) = self.engine.scan(start, end, 1)?.pop() else { return Ok(None) };
        if !is_cut {
            // Rows of these kinds have no row below them: the first key after all that begin with this one is the next row's, or before it.
            return Ok(Some((key, row)));
        }
        key.truncate(key.len() - pieces::NUMBER_BYTES);
        match self.joined(&key)? {
            Some(content) => Ok(Some((key, content.to_vec()))),
            // It was moved meanwhile.
            None => self.next_content(&keys::after(&key), end, is_cut),
        }
    }
}
