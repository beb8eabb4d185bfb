//! Makes a value of parts of others, without a tree in between.

use crate::packed::{self, ContainerHead};
use crate::packed_value::{ListItems, MapMembers, PackedValue};
use crate::value::Value;

/// Writes one value. Lists and maps are begun, filled and ended.
#[derive(Debug, Default)]
pub struct ValueWriter(Vec<u8>);

/// Where a list or a map begins.
#[derive(Debug)]
pub struct ContainerStart(usize);

impl ValueWriter {
    /// A writer with space for so many bytes.
    pub fn with_capacity(bytes: usize) -> ValueWriter {
        ValueWriter(Vec::with_capacity(bytes))
    }

    /// Appends a value.
    pub fn value(&mut self, value: PackedValue<'_>) {
        self.0.extend_from_slice(value.packed());
    }

    /// Appends all items of a list.
    pub fn items(&mut self, items: &ListItems<'_>) {
        self.0.extend_from_slice(items.packed());
    }

    /// Appends all members of a map that are left.
    pub fn members(&mut self, members: &MapMembers<'_>) {
        self.0.extend_from_slice(members.packed());
    }

    /// Appends the name of a member, whose value comes next. The names of a map must come in the order of their bytes, each once.
    pub fn name(&mut self, name: &str) {
        packed::write_text(name, &mut self.0);
    }

    /// Begins a list or a map.
    pub fn begin(&mut self) -> ContainerStart {
        self.0.push(0);
        ContainerStart(self.0.len() - 1)
    }

    /// Ends a list of so many items, which were written since its start.
    pub fn end_list(&mut self, ContainerStart(at): ContainerStart, items: usize) {
        packed::set_head(&mut self.0, at, &ContainerHead::list(items));
    }

    /// Ends a map of so many members, whose names and values were written since its start.
    pub fn end_map(&mut self, ContainerStart(at): ContainerStart, members: usize) {
        packed::set_head(&mut self.0, at, &ContainerHead::map(members));
    }

    /// The value.
    pub fn finish(self) -> Value {
        Value::owned(self.0)
    }
}
