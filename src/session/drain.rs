//! Tells connections and sockets that their port drains. Whatever has nothing in progress ends when the drain begins, the rest when it is over.

use tokio::sync::watch;

/// How far a drain is. Each phase follows the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum DrainPhase {
    #[default]
    NotBegun,
    Begun,
    Over,
}

/// Drains a port. If it is dropped, no drain begins.
#[derive(Debug)]
pub struct DrainControl(watch::Sender<DrainPhase>);

/// Sees the drain of a port. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DrainWatch(watch::Receiver<DrainPhase>);

impl Default for DrainControl {
    fn default() -> DrainControl {
        DrainControl(watch::channel(DrainPhase::NotBegun).0)
    }
}

impl DrainControl {
    pub fn watch(&self) -> DrainWatch {
        DrainWatch(self.0.subscribe())
    }

    /// What is in progress may go on.
    pub fn begin(&self) {
        self.0.send_replace(DrainPhase::Begun);
    }

    /// Nothing may go on.
    pub fn end(&self) {
        self.0.send_replace(DrainPhase::Over);
    }
}

impl DrainWatch {
    /// Returns when the drain has begun.
    pub async fn begun(&mut self) {
        self.reached(DrainPhase::Begun).await;
    }

    /// Returns when the drain is over.
    pub async fn over(&mut self) {
        self.reached(DrainPhase::Over).await;
    }

    async fn reached(&mut self, phase: DrainPhase) {
        if self.0.wait_for(|now| *now >= phase).await.is_err() {
            std::future::pending().await
        }
    }
}
