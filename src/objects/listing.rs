//! A page of a bucket's objects, with what shares a prefix as one entry. Source: ListObjectsV2 (Amazon S3 API Reference).

use crate::store::{Store, StoreError, StoredObject};

/// Rows that are read at a time at most.
const ROWS_READ: usize = 128;

/// Rows that are read first behind a common prefix, often to find another one.
const FIRST_ROWS_READ: usize = 4;

/// What is listed.
#[derive(Clone, Debug, Default)]
pub(super) struct ListQuery {
    pub prefix: String,
    /// Empty: none.
    pub delimiter: String,
    /// Behind this key or common prefix.
    pub after: Option<String>,
    /// Keys and common prefixes of a page.
    pub limit: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListEntry {
    Object(String, Box<StoredObject>),
    CommonPrefix(String),
}

impl ListEntry {
    pub(super) fn name(&self) -> &str {
        match self {
            ListEntry::Object(name, _) | ListEntry::CommonPrefix(name) => name,
        }
    }
}

/// A page, and whether there is more behind it. Reads at most four rows for each entry, and [`ROWS_READ`] more.
pub(super) fn page(store: &Store, bucket: &str, query: &ListQuery) -> Result<(Vec<ListEntry>, bool), StoreError> {
    let ListQuery { prefix, delimiter, after, limit } = query;
    let mut entries = Vec::new();
    if *limit == 0 {
        return Ok((entries, false));
    }
    // Behind a common prefix all keys that begin with it are left out.
    let is_common = |name: &str| !delimiter.is_empty() && name.len() > prefix.len() && name.ends_with(delimiter.as_str());
    let mut from: Vec<u8> = match after {
        None => Vec::new(),
        Some(after) if after.starts_with(prefix.as_str()) && is_common(after) => end_of(after),
        Some(after) => [after.as_bytes(), &[0]].concat(),
    };
    let mut wanted = FIRST_ROWS_READ;
    loop {
        let rows = store.objects(bucket, prefix, &from, wanted)?;
        let is_last = rows.len() < wanted;
        let mut skip_to: Option<Vec<u8>> = None;
        for (key, object) in rows {
            if entries.len() >= *limit {
                return Ok((entries, true));
            }
            from = [key.as_bytes(), &[0]].concat();
            let rest = key.get(prefix.len()..).unwrap_or_default();
            match rest.find(delimiter.as_str()).filter(|_| !delimiter.is_empty()) {
                None => entries.push(ListEntry::Object(key, Box::new(object))),
                Some(at) => {
                    let common = key[..prefix.len() + at + delimiter.len()].to_owned();
                    skip_to = Some(end_of(&common));
                    entries.push(ListEntry::CommonPrefix(common));
                    break;
                }
            }
        }
        match skip_to {
            Some(skip_to) => (from, wanted) = (skip_to, FIRST_ROWS_READ),
            None if is_last => return Ok((entries, false)),
            None => wanted = (2 * wanted).min(ROWS_READ),
        }
    }
}

/// What comes behind all keys that begin with a text: no UTF-8 has the byte 0xFF.
fn end_of(prefix: &str) -> Vec<u8> {
    [prefix.as_bytes(), &[0xff]].concat()
}
