//! Stories of the store as a whole. The tests pass the time.

mod backup;
mod counted_work;
mod erasing;
mod failed_jobs;
mod failing;
mod forgetting;
mod format;
mod growth;
mod history;
mod login_pages;
mod merging;
mod push;
mod reaping;
mod rewinding;
mod two_writers;
