//! Stories of the store as a whole, with a hand-moved clock.

mod backup;
mod erasing;
mod failing;
mod growth;
mod history;
mod merging;
mod migration;
mod push;
mod reaping;
