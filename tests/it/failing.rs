//! A full disk, a locked data folder and damaged files: what an operator and a device see, with the real binary.

use std::os::unix::fs::FileExt;

use driftless_client::{Device, Settings, TokenSource, WriteOutcome};
use driftless_protocol::{DeviceId, RefusalCode};
use tempfile::TempDir;

use crate::support::{DeviceHttp, DriftlessProcess, TestDevice, change, driftless, name, token, wait_for};

/// A reserve larger than any disk: the server refuses writes as on a full disk.
const DISK_FULL: &[&str] = &["--store-reserve-mib", "1099511627776"];

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_reads_are_served_and_the_client_keeps_its_write_until_there_is_space() {
    let data = TempDir::new().unwrap();
    let server = DriftlessProcess::start(data.path(), "127.0.0.1:0", &[]).await;
    let (url, listen) = (server.url.clone(), server.address().to_owned());
    TestDevice::connect(&url, &token("alice"), "phone").await.put("d", "k", "1").await;
    server.kill().await;

    let server = DriftlessProcess::start(data.path(), &listen, DISK_FULL).await;
    let mut phone = TestDevice::connect(&url, &token("alice"), "phone").await;
    phone.send_patch("d", &[change("put k 2")]).await;
    assert_eq!(phone.receive_refusal().await, RefusalCode::ReadOnly);
    assert_eq!(phone.open("d").await.0.len(), 1, "reads are served");
    let http = DeviceHttp::new(listen.parse().unwrap(), &token("alice"), "phone");
    let refused = http.post("/v1/datasets/d/write", r#"{"id":9,"changes":[{"key":"k","op":"put","value":2}]}"#).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("read_only")));
    assert_eq!(refused.header("retry-after"), Some("60"), "{refused:?}");
    assert!(refused.header("driftless-identity").is_some(), "{refused:?}");
    assert_eq!(http.get("/health/ready").await.status, 200, "a server that cannot write is ready");
    drop(phone);
    // The client library keeps the write, also over the server's restarts.
    let settings = Settings::new(&url, DeviceId::new("laptop").unwrap(), TokenSource::fixed(token("alice"))).unwrap();
    server.kill().await;
    let server = DriftlessProcess::start(data.path(), &listen, &[]).await;
    let (laptop, mut events) = Device::connect(settings);
    wait_for("a session", events.recv()).await;
    server.kill().await;
    let server = DriftlessProcess::start(data.path(), &listen, DISK_FULL).await;
    laptop.go_online().await.unwrap();
    let writing = tokio::spawn({
        let laptop = laptop.clone();
        async move { laptop.write(&name("d"), vec![change("put k 3")]).await }
    });
    let metrics = DeviceHttp::new(listen.parse().unwrap(), &token("alice"), "metrics");
    wait_for("a refused write", async {
        while !metrics.get("/metrics").await.body.contains("driftless_session_refusals_total{outcome=\"read_only\"}") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!writing.is_finished());
    server.kill().await;
    let server = DriftlessProcess::start(data.path(), &listen, &[]).await;
    laptop.go_online().await.unwrap();
    assert!(matches!(wait_for("the write", writing).await.unwrap(), Ok(WriteOutcome::Written { version: 2, .. })));
    server.kill().await;
}

/// Starts a server on a folder, which must fail, and returns its error output.
async fn failed_start(data: &TempDir) -> String {
    let arguments = ["dev", "--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap()];
    let output = wait_for("the server's end", driftless().args(arguments).output()).await.unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_a_folder_names_the_process_that_holds_it() {
    let data = TempDir::new().unwrap();
    let server = DriftlessProcess::start(data.path(), "127.0.0.1:0", &[]).await;
    let error = failed_start(&data).await;
    assert!(error.contains(&format!("process {}", server.pid())) && error.contains("--data"), "{error}");
    TestDevice::connect(&server.url, &token("alice"), "phone").await.put("d", "k", "1").await;
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_is_refused_in_a_few_lines_that_name_restore() {
    let data = TempDir::new().unwrap();
    let server = DriftlessProcess::start(data.path(), "127.0.0.1:0", &[]).await;
    let mut phone = TestDevice::connect(&server.url, &token("alice"), "phone").await;
    for n in 0..50 {
        phone.put("d", &format!("k{n}"), "\"a value of some length\"").await;
    }
    drop(phone);
    server.kill().await;
    let file = std::fs::OpenOptions::new().write(true).open(data.path().join("journal.0")).unwrap();
    // In the second block of records: the header has the first block of the file, and each record begins one.
    file.write_all_at(&[0x55; 256], 2 * 4096).unwrap();
    let error = failed_start(&data).await;
    assert!(error.contains("restore"), "{error}");
    assert!(error.lines().count() < 12 && !error.contains("stack backtrace"), "{error}");
}
