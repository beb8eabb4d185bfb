//! The rows of the keyring: names and bytes whose meaning it alone knows.

use super::commit::Group;
use super::keys::{KeyParts, RowKind};
use super::row_source::RowSource;
use super::{Store, StoreError, keys};

impl Store {
    /// All rows of the keyring, with their names. It has some dozens.
    pub fn keyring_rows(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let prefix = keys::of_kind(RowKind::Keyring);
        let rows = self.engine.all_of(&prefix)?;
        rows.into_iter().map(|(key, row)| Ok((KeyParts::after(&key, &prefix)?.name()?.to_owned(), row))).collect()
    }
}

impl Group<'_> {
    /// Adds a row of the keyring, unless there is one of that name: of two servers that make the same key, the one that comes second takes the
    /// other's. Returns the row that is there.
    pub fn add_keyring_row(&mut self, name: &str, row: &[u8]) -> Result<Vec<u8>, StoreError> {
        let key = keys::keyring(name);
        if let Some(known) = self.view.get(&key)? {
            return Ok(known);
        }
        self.view.decide(vec![(key, Some(row.to_owned()))]);
        Ok(row.to_owned())
    }

    /// Deletes a row of the keyring: what it has sealed or signed has expired.
    pub fn delete_keyring_row(&mut self, name: &str) {
        self.view.decide(vec![(keys::keyring(name), None)]);
    }
}
