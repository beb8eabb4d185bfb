//! Decodes a value of either codec into its canonical MessagePack, in one pass.

use std::fmt;
use std::ops::Range;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use crate::packed::{self, ContainerHead};
use crate::{Number, limits};

/// Decodes a value that may nest this many levels more, and appends it to the bytes.
pub(crate) struct ValueSeed<'a> {
    levels: usize,
    out: &'a mut Vec<u8>,
}

impl<'a> ValueSeed<'a> {
    pub(crate) fn new(levels: usize, out: &'a mut Vec<u8>) -> ValueSeed<'a> {
        ValueSeed { levels, out }
    }

    /// How many levels a container's members may nest.
    fn inside<E: Error>(&self) -> Result<usize, E> {
        self.levels.checked_sub(1).ok_or_else(|| E::custom(format_args!("a value nests more than {} levels", limits::VALUE_DEPTH)))
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.out.extend_from_slice(packed::NULL);
        Ok(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_bool<E>(self, truth: bool) -> Result<(), E> {
        self.out.push(if truth { 0xc3 } else { 0xc2 });
        Ok(())
    }

    fn visit_i64<E>(self, n: i64) -> Result<(), E> {
        packed::write_number(n.into(), self.out);
        Ok(())
    }

    fn visit_u64<E>(self, n: u64) -> Result<(), E> {
        packed::write_number(n.into(), self.out);
        Ok(())
    }

    fn visit_f64<E: Error>(self, n: f64) -> Result<(), E> {
        let number = Number::from_f64(n).ok_or_else(|| E::custom("a number must be finite"))?;
        packed::write_number(number, self.out);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        packed::write_text(text, self.out);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let (levels, at) = (self.inside()?, self.out.len());
        // The place of the head; see `set_head`.
        self.out.push(0);
        let mut items = 0;
        while list.next_element_seed(ValueSeed { levels, out: self.out })?.is_some() {
            items += 1;
        }
        packed::set_head(self.out, at, &ContainerHead::list(items));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (levels, at) = (self.inside()?, self.out.len());
        self.out.push(0);
        let (mut members, mut is_sorted) = (0, true);
        let mut previous = 0..0;
        while let Some(name) = map.next_key_seed(MemberNameSeed(self.out))? {
            is_sorted &= members == 0 || self.out[previous] < self.out[name.clone()];
            map.next_value_seed(ValueSeed { levels, out: self.out })?;
            previous = name;
            members += 1;
        }
        if !is_sorted && !packed::sort_members(self.out, at + 1) {
            return Err(A::Error::custom("a map names a member twice"));
        }
        packed::set_head(self.out, at, &ContainerHead::map(members));
        Ok(())
    }
}

/// Appends the name of a member to the bytes; returns where its text is.
struct MemberNameSeed<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for MemberNameSeed<'_> {
    type Value = Range<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Range<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

/// Takes text only: code derived by serde would also accept MessagePack's binary type.
impl<'de> Visitor<'de> for MemberNameSeed<'_> {
    type Value = Range<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E>(self, name: &str) -> Result<Range<usize>, E> {
        packed::write_text(name, self.0);
        Ok(self.0.len() - name.len()..self.0.len())
    }
}
