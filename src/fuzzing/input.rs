//! Choices that a fuzz target takes from its input. An input that is used up answers 0.

use driftless_protocol::Value;
use serde::Deserialize;
use serde_json::{Number, json};

/// How deep a value is nested at most.
const VALUE_DEPTH: usize = 4;

/// The most items of a list and members of a map.
const VALUE_ITEMS: usize = 5;

pub(super) struct FuzzInput<'a>(&'a [u8]);

impl<'a> FuzzInput<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> FuzzInput<'a> {
        FuzzInput(bytes)
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.0.is_empty()
    }

    /// A number from 0 to `end` - 1.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(first) % end.max(1)
    }

    pub(super) fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    fn bits(&mut self) -> u64 {
        let (bytes, rest) = self.0.split_at(self.0.len().min(size_of::<u64>()));
        self.0 = rest;
        bytes.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
    }

    pub(super) fn value(&mut self) -> Value {
        // A value that the decoder takes is in its canonical form.
        Value::deserialize(self.json(VALUE_DEPTH)).unwrap_or_else(|why| panic!("a value of the protocol is refused: {why}"))
    }

    fn json(&mut self, depth: usize) -> serde_json::Value {
        let kinds = if depth == 0 { 7 } else { 9 };
        match self.below(kinds) {
            0 => json!(null),
            1 => json!(self.flag()),
            2 => json!(self.below(8)),
            3 => json!(self.bits()),
            4 => json!(self.bits().cast_signed()),
            5 => Number::from_f64(f64::from_bits(self.bits())).map_or(json!(0.5), serde_json::Value::Number),
            6 => json!("x".repeat(self.below(300))),
            7 => (0..self.below(VALUE_ITEMS)).map(|_| self.json(depth - 1)).collect(),
            _ => (0..self.below(VALUE_ITEMS)).map(|_| (self.below(6).to_string(), self.json(depth - 1))).collect(),
        }
    }
}
