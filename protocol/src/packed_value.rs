//! What is in a value, read in place.

use crate::Number;
use crate::packed::{self, PackedHead};

/// What a value is. Lists and maps are read as they are gone through.
#[derive(Clone, Debug)]
pub enum ValueRef<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number.
    Number(Number),
    /// A string of UTF-8 text.
    Text(&'a str),
    /// A list of values.
    List(ListItems<'a>),
    /// A map from names to values, in the order of the names.
    Map(MapMembers<'a>),
}

/// A value within another one: its canonical MessagePack. Equal values have equal bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PackedValue<'a>(pub(crate) &'a [u8]);

/// The items of a list.
#[derive(Clone, Debug, Default)]
pub struct ListItems<'a> {
    left: usize,
    rest: &'a [u8],
}

/// The members of a map, each a name and a value.
#[derive(Clone, Debug, Default)]
pub struct MapMembers<'a> {
    left: usize,
    rest: &'a [u8],
}

impl<'a> PackedValue<'a> {
    /// Its bytes.
    pub fn packed(self) -> &'a [u8] {
        self.0
    }

    /// What it is, and what is in it.
    pub fn view(self) -> ValueRef<'a> {
        match packed::read_head(self.0) {
            Some((PackedHead::Bool(truth), _)) => ValueRef::Bool(truth),
            Some((PackedHead::Number(number), _)) => ValueRef::Number(number),
            Some((PackedHead::Text(text), _)) => ValueRef::Text(text),
            Some((PackedHead::List(left), rest)) => ValueRef::List(ListItems { left, rest }),
            Some((PackedHead::Map(left), rest)) => ValueRef::Map(MapMembers { left, rest }),
            Some((PackedHead::Null, _)) | None => ValueRef::Null,
        }
    }

    /// How many values there are: itself and all that are in it, the names of members too. It stops at `most`, and takes no longer for a value that
    /// has more.
    pub fn count_up_to(self, most: usize) -> usize {
        let (mut rest, mut count) = (self.0, 0);
        while count < most
            && let Some((_, after)) = packed::skip_head(rest)
        {
            (rest, count) = (after, count + 1);
        }
        count
    }

    /// The items of the value and of all values in it, in the order in which they stand.
    pub(crate) fn heads(self) -> impl Iterator<Item = PackedHead<'a>> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (head, after) = packed::read_head(rest)?;
            rest = after;
            Some(head)
        })
    }
}

impl<'a> ListItems<'a> {
    /// How many there are left.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The bytes of all items that are left.
    pub fn packed(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for ListItems<'a> {
    type Item = PackedValue<'a>;

    fn next(&mut self) -> Option<PackedValue<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (item, rest) = packed::split_first(self.rest)?;
        self.rest = rest;
        Some(PackedValue(item))
    }
}

impl<'a> MapMembers<'a> {
    /// How many there are left.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The bytes of all members that are left, each a name and a value.
    pub fn packed(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for MapMembers<'a> {
    type Item = (&'a str, PackedValue<'a>);

    fn next(&mut self) -> Option<(&'a str, PackedValue<'a>)> {
        self.left = self.left.checked_sub(1)?;
        let (PackedHead::Text(name), after) = packed::read_head(self.rest)? else { return None };
        let (value, rest) = packed::split_first(after)?;
        self.rest = rest;
        Some((name, PackedValue(value)))
    }
}
