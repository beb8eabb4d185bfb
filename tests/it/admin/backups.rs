//! Backups of a running server, and fresh stores from them.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use driftless::store::BackupChecker;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::support::{Binary, Operator, Phone, Server, change, command, commanded, driftless, operator, soon, token};

async fn restore(file: &Path, folder: &Path) -> std::process::Output {
    let arguments = ["restore", file.to_str().unwrap(), "--data", folder.to_str().unwrap()];
    soon("the restore", driftless().args(arguments).output()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_busy_server_becomes_a_server() {
    let (server, folder) = (Server::start().await, TempDir::new().unwrap());
    let (file, data) = (folder.path().join("busy.backup"), folder.path().join("restored"));
    let (known, is_over) = (Arc::new(Mutex::new(0)), Arc::new(AtomicU64::new(0)));
    let mut phone = server.phone("alice", "phone").await;
    let before = phone.open("d").await.1.epoch;
    let writer = tokio::spawn({
        let (known, is_over) = (Arc::clone(&known), Arc::clone(&is_over));
        async move {
            for n in 1..=u64::MAX {
                phone.write("d", &[change(&format!("put k{n} {n}")), change("put last 1")]).await;
                *known.lock().unwrap() = n;
                if is_over.load(Ordering::SeqCst) == 1 {
                    return;
                }
            }
        }
    });
    soon("some writes", async {
        while *known.lock().unwrap() < 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let acknowledged = *known.lock().unwrap();
    let said = commanded(&server.url(), &["backup", file.to_str().unwrap()]).await;
    assert!(said.contains("all checksums are correct") && said.contains("driftless restore"), "{said}");
    is_over.store(1, Ordering::SeqCst);
    soon("the writer's end", writer).await.unwrap();

    let restored = restore(&file, &data).await;
    let said = String::from_utf8_lossy(&restored.stdout).into_owned();
    assert!(restored.status.success() && said.contains("next: start the server"), "{said}{}", String::from_utf8_lossy(&restored.stderr));
    let again = Binary::start(&data, "127.0.0.1:0", &[]).await;
    let mut laptop = Phone::welcomed(&again.url, &token("alice"), "laptop").await;
    let (records, position) = laptop.open("d").await;
    assert_ne!(position.epoch, before, "another history");
    // All that was acknowledged before it began, and then a prefix of what came meanwhile.
    assert!(position.version >= acknowledged, "{} of {acknowledged}", position.version);
    for n in 1..=position.version {
        assert!(records.iter().any(|record| record.key.as_str() == format!("k{n}")), "k{n} of {}", position.version);
    }
    assert_eq!(records.len() as u64, position.version + 1);
    assert_eq!(laptop.put("d", "on", "1").await, position.version + 1, "it goes on");
}

#[tokio::test]
async fn a_damaged_backup_is_refused_with_the_place_of_the_damage() {
    let (server, folder) = (Server::start().await, TempDir::new().unwrap());
    let mut phone = server.phone("alice", "phone").await;
    phone.write("d", &(0..100).map(|n| change(&format!("put k{n} \"{}\"", "v".repeat(1000)))).collect::<Vec<_>>()).await;
    let file = folder.path().join("whole.backup");
    commanded(&server.url(), &["backup", file.to_str().unwrap()]).await;
    let whole = std::fs::read(&file).unwrap();
    let (damaged, data) = (folder.path().join("damaged.backup"), folder.path().join("restored"));
    let refused = async |bytes: &[u8]| {
        std::fs::write(&damaged, bytes).unwrap();
        let output = restore(&damaged, &data).await;
        assert!(!output.status.success() && !data.exists(), "nothing is made of it");
        String::from_utf8(output.stderr).unwrap()
    };
    for at in [40, whole.len() / 2, whole.len() - 3] {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        let said = refused(&flipped).await;
        assert!(said.contains("damaged.backup") && said.contains("damaged in block") && said.contains("at byte"), "{at}: {said}");
    }
    for end in [whole.len() / 2, whole.len() - 1] {
        let said = refused(&whole[..end]).await;
        assert!(said.contains("damaged in block") && said.contains("at byte"), "cut at {end}: {said}");
    }
    assert!(refused(b"hello").await.contains("no backup of driftless"));
    assert!(refused(b"driftless backup 2\nwhatever").await.contains("newer driftless"));
    // The whole one is taken, but not into a folder that holds something.
    assert!(restore(&file, &data).await.status.success());
    let again = restore(&file, &data).await;
    assert!(String::from_utf8_lossy(&again.stderr).contains("not empty"), "{again:?}");
    let missing = restore(&folder.path().join("none.backup"), &folder.path().join("none")).await;
    assert!(String::from_utf8_lossy(&missing.stderr).contains("none.backup"), "{missing:?}");
}

/// A server whose backup does not fit into the buffers of a socket, so that it waits for its reader.
async fn large() -> Server {
    let server = Server::start().await;
    let mut phone = server.phone("alice", "phone").await;
    let value = "v".repeat(1_000_000);
    for n in 0..15 {
        phone.put("d", &format!("k{n}"), &format!("\"{value}\"")).await;
    }
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_backup_at_a_time_and_one_that_nobody_reads_makes_room() {
    let server = large().await;
    let operator = server.operator();
    let mut first = operator.begin("GET", "/backup", "").await;
    let mut byte = [0];
    soon("the first answer", first.read_exact(&mut byte)).await.unwrap();
    let second = operator.get("/backup").await;
    assert!(second.status == 409 && second.text().contains("another backup is running"), "{} {}", second.status, second.text());
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("second.backup");
    let refused = command(&server.url(), &["backup", file.to_str().unwrap()]).await;
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("another backup"), "{refused:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "half a backup is none");
    // Whoever reads on gets all of it.
    let rest = operator::read(first).await;
    assert!(rest.whole, "{} bytes", rest.body.len());
    assert!(BackupChecker::begin(rest.body.as_slice()).unwrap().check().unwrap().bytes > 15_000_000);

    let first = operator.begin("GET", "/backup", "").await;
    drop(first);
    soon("another backup", async {
        while operator.get("/backup").await.status != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_the_server_cannot_end_is_seen_to_be_none() {
    let mut server = large().await;
    let operator = Operator::with(server.address(), driftless::admin::DEVELOPMENT_KEY);
    let socket = operator.begin("GET", "/backup", "").await;
    soon("the first bytes", socket.readable()).await.unwrap();
    server.drain();
    // Nothing new is accepted once it drains: then it has taken notice.
    soon("the drain", async {
        while tokio::net::TcpStream::connect(server.address()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let broken = operator::read(socket).await;
    assert_eq!((broken.status, broken.whole), (200, false), "{} bytes", broken.body.len());
    server.stop().await;
}

#[tokio::test]
async fn a_backup_of_one_engine_is_restored_into_another() {
    let (server, folder) = (Server::start().await, TempDir::new().unwrap());
    server.phone("alice", "phone").await.put("d", "k", "1").await;
    let (file, data) = (folder.path().join("sled.backup"), folder.path().join("redb"));
    commanded(&server.url(), &["backup", file.to_str().unwrap()]).await;
    let engine = ["--store-engine", "redb"];
    let arguments = ["restore", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let restored = soon("the restore", driftless().args(arguments).args(engine).output()).await.unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let again = Binary::start(&data, "127.0.0.1:0", &engine).await;
    assert_eq!(Phone::welcomed(&again.url, &token("alice"), "laptop").await.open("d").await.0.len(), 1);
    let next = folder.path().join("redb.backup");
    commanded(&again.url, &["backup", next.to_str().unwrap()]).await;
    assert!(next.exists(), "and backed up from there");
}
