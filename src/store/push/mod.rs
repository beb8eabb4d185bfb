//! Where devices are woken by pushes, and the debts to them.
//!
//! - A device has at most one registration. A push token belongs to one device of its pool: when another device registers it, it moves
//!   there, and the registration of the device that had it stays without a token, until the device registers again.
//! - An identity with a live push token has a row for each dataset with a debt (`debts`): a version that devices may not have
//!   acknowledged. It is written in the batch of that version, with the date of the courier's next round, and stays until no device is
//!   owed anything. A crash ends no debt (I6).
//! - The versions that a device was woken for, its push budget and its delivery log stand beside its registration, all bounded.
//!
//! `push::wakes` decides which device is woken when; here are only the facts for that decision.

mod debts;
mod delivery_log;
mod registrations;
mod rows;
mod subscriptions;
mod wake_round;

pub use debts::Debt;
pub use delivery_log::{DELIVERY_LOG_ENTRIES, DeliveryLogEntry, DeliveryStatus};
pub use registrations::{LastSeen, RegisterOutcome};
pub use rows::{DeadToken, PushBudget, TokenBucket, TokenLoss};
pub use subscriptions::{CognitoRegistered, NewCognitoDevice, SubscribeOutcome};
pub use wake_round::{DueIdentity, TargetDebt, TokenDisposition, WakeResult, WakeRound, WakeTarget};

pub(super) use delivery_log::DeliveryLogRow;
pub(super) use registrations::token_binding_of;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) use rows::PushBudgetRow;
pub(super) use rows::{DebtRow, RegistrationRow};
#[cfg(test)]
pub(super) use wake_round::WOKEN_DATASETS;
pub(super) use wake_round::without_woken;
