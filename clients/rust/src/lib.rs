//! The client library of Driftless: an app in Rust keeps one person's data the same on all their devices with it.
//!
//! - [`Device`] is the app's handle: it opens datasets, writes to them, and reconnects by itself. [`Events`] reports what happens.
//! - [`Connection`] is one socket, message by message, for a caller that controls each step itself.
//! - [`Replica`], [`Outbox`], [`Backoff`] and [`Heartbeat`] decide; they do no I/O, and take time and randomness as arguments.
//!
//! A [`Device`] is built from exactly these parts. The library keeps nothing on disk: a new process starts from an empty replica, and
//! a patch that was not answered when the process ended may or may not have been applied.
//!
//! When the server's store is restored from a backup, or the identity is merged into another one, the device continues: it keeps its unanswered
//! patches and writes again what the server no longer has. [`Event::StoreRestored`], [`Event::IdentityMerged`], [`Event::ReofferConflict`]
//! and [`Event::ReofferRefused`] report it.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use driftless_client::protocol::{Change, DatasetName, DeviceId, Key, Op};
//! use driftless_client::{Device, Event, Settings, TokenSource};
//!
//! let settings = Settings::new("https://sync.example.com", DeviceId::new("phone-1")?, TokenSource::fixed("a token"))?;
//! let (device, mut events) = Device::connect(settings);
//! let dataset = DatasetName::new("settings")?;
//! device.open(&dataset).await?;
//! device.write(&dataset, vec![Change::new(Key::new("theme")?, Op::Put, Some("dark".into()))]).await?;
//! while let Some(event) = events.recv().await {
//!     if let Event::Changed { records, .. } = event {
//!         println!("{} records changed", records.len());
//!     }
//! }
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod address;
mod backoff;
mod connection;
mod device;
mod disconnect;

mod heartbeat;
mod outbox;
mod replica;
mod settings;

pub use address::{Address, AddressError};
pub use backoff::Backoff;
pub use connection::{Connection, SendError, Welcome};
pub use device::{Device, DeviceShutDown, Event, Events, ListError, WriteOutcome};
pub use disconnect::DisconnectReason;
pub use heartbeat::{Heartbeat, HeartbeatAction};
pub use outbox::{Outbox, OutboxPatch};
pub use replica::{ApplyResult, ChangesPage, Replica};
pub use settings::{Settings, TlsTrust, TokenSource};

pub use driftless_protocol as protocol;
