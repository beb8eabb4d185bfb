//! Attacks of one account on a server: messages on many sessions, silent sockets, and large acts of an operator on the account's data.
//!
//! A mix of messages is data ([`AttackMix`](crate::attack_mix::AttackMix)): a scenario names it, the search draws it, and a file keeps the worst. What runs an attack
//! sets [`AttackSignals::begin`] when it is under way, and ends when [`AttackSignals::stop`] was called.

mod acts;
mod history_acts;
mod identity_acts;
mod message_maker;
mod mix_fleet;
mod random_mix;
mod signals;
mod silent_sockets;
mod stock;

pub use acts::prepare_act;
pub use mix_fleet::{MixCounts, attack_with_mix, mix_fleet, mix_maker};
pub use random_mix::random_mix;
pub use signals::{AttackSignals, PreparedAttack};
pub use silent_sockets::hold_silent_sockets;
pub use stock::write_stock;
