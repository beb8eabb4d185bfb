//! The index row that goes with a row. A batch that deletes the row deletes its index row, too.

use super::engine::Bytes;
use super::keys::{self, KeyParts, RowKind};
use super::push::{self, DebtRow};
use super::rows::{self, HeadRow};
use super::{Identity, StoreError};

/// The key of the index row of a row that an identity owns: `None` if it has none.
pub(super) fn index_key(kind: RowKind, identity: &Identity, key: &[u8], row: &[u8]) -> Result<Option<Bytes>, StoreError> {
    let mut parts = KeyParts::after(key, &keys::of_identity(kind, identity))?;
    Ok(match kind {
        RowKind::IdentityLogin => Some(keys::login(parts.name()?, parts.name()?, parts.name()?)),
        RowKind::Head => {
            let head: HeadRow = rows::decode(row)?;
            Some(keys::reap_due(head.reap_at_ms, identity, &parts.dataset()?)).filter(|_| head.reap_at_ms > 0)
        }
        RowKind::Registration => push::token_binding_of(row)?,
        RowKind::Debt => Some(keys::wake_due(rows::decode::<DebtRow>(row)?.at_ms, identity, &parts.dataset()?)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_with_an_index_are_those_of_the_table() {
        let identity = Identity::from("local:1");
        for kind in RowKind::owned_by_identity() {
            // No row is empty but that of a login, whose key is cut short here: where an index row is looked for, that is an error.
            let found = index_key(kind, &identity, &keys::of_identity(kind, &identity), b"");
            assert_eq!(found.is_err(), kind.index().is_some(), "{kind:?}: {found:?}");
        }
    }
}
