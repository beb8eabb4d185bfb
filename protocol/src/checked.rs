//! Fields of a device's message whose names may be invalid. The refusal of an invalid name has a code of its own, which a decoder's error, a
//! text, cannot carry.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::fault::Fault;
use crate::named::{NamedMap, within};
use crate::names::CheckedName;
use crate::record::WireChange;
use crate::{Change, Epoch, Position, number};

/// The name of a field, or the refusal of an invalid one.
pub(crate) fn named<N>(name: CheckedName<N>, field: impl fmt::Display) -> Result<N, Fault> {
    name.0.map_err(|invalid| Fault::name(field, &invalid.why))
}

/// A position whose epoch may be invalid.
#[derive(Deserialize)]
pub(crate) struct WirePosition {
    epoch: CheckedName<Epoch>,
    #[serde(deserialize_with = "number::whole")]
    version: u64,
}

impl WirePosition {
    pub(crate) fn position(self) -> Result<Position, Fault> {
        Ok(Position { epoch: named(self.epoch, "position.epoch")?, version: self.version })
    }
}

/// The changes of a patch, or the refusal of the first one whose key is invalid.
pub(crate) struct WireChanges(pub(crate) Result<Vec<Change>, Fault>);

impl<'de> Deserialize<'de> for WireChanges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WireChanges, D::Error> {
        struct WireChangesVisitor;
        impl<'de> Visitor<'de> for WireChangesVisitor {
            type Value = WireChanges;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<WireChanges, A::Error> {
                let (mut changes, mut refused, mut at) = (Vec::new(), None, 0);
                loop {
                    match list.next_element::<NamedMap<WireChange>>() {
                        Ok(Some(NamedMap(change))) => match Change::try_from(change) {
                            Ok(change) => changes.push(change),
                            Err(why) => refused = refused.or_else(|| Some(Fault::name(format_args!("changes[{at}].key"), &why))),
                        },
                        Ok(None) => return Ok(WireChanges(refused.map_or(Ok(changes), Err))),
                        Err(why) => return Err(within(format_args!("[{at}]"), &why)),
                    }
                    at += 1;
                }
            }
        }
        deserializer.deserialize_seq(WireChangesVisitor)
    }
}
