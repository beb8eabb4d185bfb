//! A device for Driftless: what an app in Rust needs to keep one person's data the same on all their devices.
//!
//! - [`Device`] is the handle of an app: it opens datasets, writes to them, and reconnects by itself. [`Events`] tells what happens.
//! - [`Connection`] is one socket, message by message, for who wants to take the steps alone.
//! - [`Replica`], [`Outbox`], [`Backoff`] and [`Heartbeat`] decide; they do no I/O, and time and chance are their arguments.
//!
//! A [`Device`] is built on exactly these parts. Nothing is kept on disk: a new process starts from an empty replica, and
//! a patch that was not answered when the process ended may or may not have been applied.
//!
//! When a server goes back to a backup, or an identity is merged into another, the device goes on: it keeps its unanswered patches and writes again
//! what the server does not have. [`Event::Restored`], [`Event::Moved`], [`Event::OfferConflict`] and [`Event::OfferRefused`] tell.
//!
//! ```no_run
//! # async fn story() -> Result<(), Box<dyn std::error::Error>> {
//! use driftless_client::protocol::{Change, DatasetName, DeviceId, Key, Op};
//! use driftless_client::{Device, Event, Settings, Tokens};
//!
//! let settings = Settings::new("https://sync.example.com", DeviceId::new("phone-1")?, Tokens::fixed("a token"))?;
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
mod end;
mod heartbeat;
mod outbox;
mod replica;
mod settings;

pub use address::{Address, AddressError};
pub use backoff::Backoff;
pub use connection::{Connection, SendError, Welcome};
pub use device::{Device, Event, Events, Gone, ListError, Outcome};
pub use end::End;
pub use heartbeat::{Beat, Heartbeat};
pub use outbox::{Outbox, Patch};
pub use replica::{Page, Replica, Taken};
pub use settings::{Settings, Tls, Tokens};

pub use driftless_protocol as protocol;
