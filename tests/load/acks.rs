//! Invariant I6, as far as it can be checked: a durable acknowledgement survives the crash. The server has no request that returns
//! acknowledged positions, so this opens a copy of its data folder.

use std::path::Path;

use driftless::store::{EngineConfig, EngineKind, Identity, Store};
use driftless_protocol::Epoch;
use tempfile::TempDir;

use super::settings;
use super::watcher::Watcher;

/// Checks, while the server is down, that its data folder has every acknowledgement of the watchers.
pub(super) fn check(data: &Path, watchers: &[Watcher]) {
    let engine = match settings::engine().as_deref() {
        None | Some("sled") => EngineKind::Sled,
        Some("redb") => EngineKind::Redb,
        Some(other) => panic!("unknown engine {other}"),
    };
    let folder = TempDir::new().unwrap();
    copy(data, folder.path());
    let store = Store::open(folder.path(), &EngineConfig { engine, ..EngineConfig::cached(16) }, &Epoch::new("unused").unwrap()).unwrap();
    for watcher in watchers {
        let Some(identity) = watcher.identity() else { continue };
        for (dataset, version) in watcher.acknowledged() {
            let kept = store.acknowledged_version(&Identity::from(identity.as_str()), &watcher.id, &dataset).unwrap();
            assert!(kept >= version, "{identity} acknowledged {version} of {dataset}, the store has {kept}");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
