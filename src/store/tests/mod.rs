//! Stories of the store as a whole. The tests pass the time.

mod accounts;
mod backup;
mod counted_work;
mod counts;
mod device_bytes;
mod due_dates;
mod erasing;
mod failed_jobs;
mod failing;
mod forgetting;
mod format;
mod growth;
mod history;
mod login_pages;
mod merged_datasets;
mod merging;
mod merging_devices;
mod owned_bytes;
mod push;
mod reaping;
mod rewinding;
mod row_bounds;
mod row_seeds;
mod two_writers;
mod user_pools;
