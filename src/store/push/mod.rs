//! Where sleeping devices are woken, and what they are owed.
//!
//! - A device has one registration. A token stands with one device of its pool: registered by another it moves there.
//! - An identity with a registration has a row for each dataset that somebody may be owed (`owed`), written in the batch of the version
//!   that is owed, and with a date when the courier looks at it. The rows stay until nobody is owed anything: a crash ends no debt (I6).
//! - What a device was woken for, what it may still be sent and why it was not is kept beside (`purse`, `log`), bounded.
//!
//! Who is woken when is decided in `push::wakes`; here is only what is known.

mod log;
mod owed;
mod registrations;
mod round;
mod rows;

pub use log::{DELIVERY_LOG_ENTRIES, DeliveryLogEntry, DeliveryStatus};
pub use owed::Debt;
pub use registrations::{LastSeen, RegisterOutcome};
pub use round::{DueIdentity, TokenDisposition, WakeResult, WakeRound, WakeTarget};
pub use rows::{DeadToken, PushBudget, TokenBucket};

pub(super) use registrations::bindings;
pub(super) use round::unwoken;
pub(super) use rows::{LogRow, OwedRow, PurseRow, PushRow};
