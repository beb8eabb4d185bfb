//! Backups of a running server, and new stores restored from them.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use driftless::store::BackupChecker;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::support::{
    DriftlessProcess, OperatorClient, TestDevice, TestPool, TestServer, change, driftless, operator, operator_command, operator_output,
    token, wait_for,
};

async fn restore(file: &Path, folder: &Path) -> std::process::Output {
    let arguments = ["restore", file.to_str().unwrap(), "--data", folder.to_str().unwrap()];
    wait_for("the restore", driftless().args(arguments).output()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_is_restored_into_a_new_server() {
    let (server, folder) = (TestServer::start().await, TempDir::new().unwrap());
    let (file, data) = (folder.path().join("busy.backup"), folder.path().join("restored"));
    let (known, is_over) = (Arc::new(Mutex::new(0)), Arc::new(AtomicU64::new(0)));
    let mut phone = server.device("alice", "phone").await;
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
    wait_for("some writes", async {
        while *known.lock().unwrap() < 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let acknowledged = *known.lock().unwrap();
    let printed = operator_output(&server.url(), &["backup", file.to_str().unwrap()]).await;
    assert!(printed.contains("all checksums are correct") && printed.contains(" restore"), "{printed}");
    is_over.store(1, Ordering::SeqCst);
    wait_for("the writer's end", writer).await.unwrap();

    let restored = restore(&file, &data).await;
    let printed = String::from_utf8_lossy(&restored.stdout).into_owned();
    assert!(
        restored.status.success() && printed.contains("next: start the server"),
        "{printed}{}",
        String::from_utf8_lossy(&restored.stderr)
    );
    let again = DriftlessProcess::start(&data, "127.0.0.1:0", &[]).await;
    let mut laptop = TestDevice::connect(&again.url, &token("alice"), "laptop").await;
    let (records, position) = laptop.open("d").await;
    assert_ne!(position.epoch, before, "a new epoch");
    // The backup has every write acknowledged before it began, and a prefix of the writes during it.
    assert!(position.version >= acknowledged, "{} of {acknowledged}", position.version);
    for n in 1..=position.version {
        assert!(records.iter().any(|record| record.key.as_str() == format!("k{n}")), "k{n} of {}", position.version);
    }
    assert_eq!(records.len() as u64, position.version + 1);
    assert_eq!(laptop.put("d", "on", "1").await, position.version + 1, "writes continue");
}

#[tokio::test]
async fn a_damaged_backup_is_refused_with_the_offset_of_the_damage() {
    let (server, folder) = (TestServer::start().await, TempDir::new().unwrap());
    let mut phone = server.device("alice", "phone").await;
    phone.write("d", &(0..100).map(|n| change(&format!("put k{n} \"{}\"", "v".repeat(1000)))).collect::<Vec<_>>()).await;
    let file = folder.path().join("whole.backup");
    operator_output(&server.url(), &["backup", file.to_str().unwrap()]).await;
    let whole = std::fs::read(&file).unwrap();
    let (damaged, data) = (folder.path().join("damaged.backup"), folder.path().join("restored"));
    let refused = async |bytes: &[u8]| {
        std::fs::write(&damaged, bytes).unwrap();
        let output = restore(&damaged, &data).await;
        assert!(!output.status.success() && !data.exists(), "no store is made of it");
        String::from_utf8(output.stderr).unwrap()
    };
    for at in [40, whole.len() / 2, whole.len() - 3] {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        let printed = refused(&flipped).await;
        assert!(
            printed.contains("damaged.backup") && printed.contains("damaged in block") && printed.contains("at byte"),
            "{at}: {printed}"
        );
    }
    for end in [whole.len() / 2, whole.len() - 1] {
        let printed = refused(&whole[..end]).await;
        assert!(printed.contains("damaged in block") && printed.contains("at byte"), "cut at {end}: {printed}");
    }
    assert!(refused(b"hello").await.contains("not a backup of driftless"));
    assert!(refused(b"driftless backup 2\nwhatever").await.contains("newer driftless"));
    // The undamaged backup is restored, but not into a folder that is not empty.
    assert!(restore(&file, &data).await.status.success());
    let again = restore(&file, &data).await;
    assert!(String::from_utf8_lossy(&again.stderr).contains("not empty"), "{again:?}");
    let missing = restore(&folder.path().join("none.backup"), &folder.path().join("none")).await;
    assert!(String::from_utf8_lossy(&missing.stderr).contains("none.backup"), "{missing:?}");
}

/// A server whose backup is larger than a socket's buffers, so that the backup waits for its reader.
async fn start_large_server() -> TestServer {
    let server = TestServer::with_pool(TestPool { server: "drain_s = 10", ..TestPool::default() }).await;
    let mut phone = server.device("alice", "phone").await;
    let value = "v".repeat(1_000_000);
    for n in 0..15 {
        phone.put("d", &format!("k{n}"), &format!("\"{value}\"")).await;
    }
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_backup_runs_at_a_time_and_one_whose_reader_leaves_frees_its_place() {
    let server = start_large_server().await;
    let operator = server.operator();
    let mut first = operator.send_request("GET", "/backup", "").await;
    let mut byte = [0];
    wait_for("the first answer", first.read_exact(&mut byte)).await.unwrap();
    let second = operator.get("/backup").await;
    assert!(second.status == 409 && second.text().contains("another backup is running"), "{} {}", second.status, second.text());
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("second.backup");
    let refused = operator_command(&server.url(), &["backup", file.to_str().unwrap()]).await;
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("another backup"), "{refused:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no partial file is left");
    // The first client reads on and gets the whole backup.
    let rest = operator::read_response(first).await;
    assert!(rest.is_complete, "{} bytes", rest.body.len());
    assert!(BackupChecker::begin(rest.body.as_slice()).unwrap().check().unwrap().bytes > 15_000_000);

    let first = operator.send_request("GET", "/backup", "").await;
    drop(first);
    wait_for("another backup", async {
        while operator.get("/backup").await.status != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_notices_a_backup_that_the_server_cannot_finish() {
    let mut server = start_large_server().await;
    let operator = OperatorClient::with_key(server.address(), driftless::admin::DEVELOPMENT_KEY);
    let socket = operator.send_request("GET", "/backup", "").await;
    wait_for("the first bytes", socket.readable()).await.unwrap();
    // The client reads nothing until the time that requests have is over.
    server.stop().await;
    let broken = operator::read_response(socket).await;
    assert_eq!((broken.status, broken.is_complete), (200, false), "{} bytes", broken.body.len());
}

#[tokio::test]
async fn a_backup_of_one_engine_is_restored_into_another() {
    let (server, folder) = (TestServer::start().await, TempDir::new().unwrap());
    server.device("alice", "phone").await.put("d", "k", "1").await;
    let (file, data) = (folder.path().join("sled.backup"), folder.path().join("redb"));
    operator_output(&server.url(), &["backup", file.to_str().unwrap()]).await;
    let engine = ["--store-engine", "redb"];
    let arguments = ["restore", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let restored = wait_for("the restore", driftless().args(arguments).args(engine).output()).await.unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let again = DriftlessProcess::start(&data, "127.0.0.1:0", &engine).await;
    assert_eq!(TestDevice::connect(&again.url, &token("alice"), "laptop").await.open("d").await.0.len(), 1);
    let next = folder.path().join("redb.backup");
    operator_output(&again.url, &["backup", next.to_str().unwrap()]).await;
    assert!(next.exists(), "the other engine makes backups, too");
}
