//! I6 as far as it goes today: a position whose acknowledgement was durable is there after the crash. Nothing serves these positions
//! yet, so a copy of the dead server's folder is opened here.

use std::path::Path;

use driftless::store::{EngineConfig, EngineKind, Identity, Store};
use driftless_protocol::Epoch;
use tempfile::TempDir;

use super::watcher::Watcher;

/// The server is dead. What it leaves knows of every acknowledgement.
pub(super) fn are_kept(data: &Path, watchers: &[Watcher]) {
    let engine = match super::engine().as_deref() {
        None | Some("sled") => EngineKind::Sled,
        Some("redb") => EngineKind::Redb,
        Some(other) => panic!("no engine is called {other}"),
    };
    let folder = TempDir::new().unwrap();
    copy(data, folder.path());
    let store = Store::open(folder.path(), &EngineConfig { engine, ..EngineConfig::cached(16) }, &Epoch::new("unused").unwrap()).unwrap();
    for watcher in watchers {
        let Some(identity) = watcher.identity() else { continue };
        for (dataset, version) in watcher.acknowledged() {
            let kept = store.acknowledged_version(&Identity::from(identity.as_str()), &watcher.id, &dataset).unwrap();
            assert!(kept >= version, "{identity} acknowledged {version} of {dataset}, the store knows of {kept}");
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
