//! A disk without room, a folder that is taken, files that are damaged: what a person and a device see. With the real binary.

use std::os::unix::fs::FileExt;

use driftless_client::{Device, Settings, TokenSource, WriteOutcome};
use driftless_protocol::{DeviceId, RefusalCode};
use tempfile::TempDir;

use crate::support::{Binary, Http, Phone, change, driftless, name, soon, token};

/// More than any disk has: writes are refused as on a full one, without one.
const FULL: &[&str] = &["--store-reserve-mib", "1099511627776"];

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_reading_goes_on_and_a_write_waits_for_room() {
    let data = TempDir::new().unwrap();
    let server = Binary::start(data.path(), "127.0.0.1:0", &[]).await;
    let (url, listen) = (server.url.clone(), server.address().to_owned());
    Phone::welcomed(&url, &token("alice"), "phone").await.put("d", "k", "1").await;
    server.kill().await;

    let server = Binary::start(data.path(), &listen, FULL).await;
    let mut phone = Phone::welcomed(&url, &token("alice"), "phone").await;
    phone.send("d", &[change("put k 2")]).await;
    assert_eq!(phone.refusal().await, RefusalCode::ReadOnly);
    assert_eq!(phone.open("d").await.0.len(), 1, "reading goes on");
    let http = Http::new(listen.parse().unwrap(), &token("alice"), "phone");
    let refused = http.post("/v1/datasets/d/write", r#"{"id":9,"changes":[{"key":"k","op":"put","value":2}]}"#).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("read_only")));
    assert_eq!(http.get("/health/ready").await.status, 200, "who only reads is served");
    drop(phone);
    // The client library keeps the write, over the restart too.
    let settings = Settings::new(&url, DeviceId::new("laptop").unwrap(), TokenSource::fixed(token("alice"))).unwrap();
    server.kill().await;
    let server = Binary::start(data.path(), &listen, &[]).await;
    let (laptop, mut events) = Device::connect(settings);
    soon("a session", events.recv()).await;
    server.kill().await;
    let server = Binary::start(data.path(), &listen, FULL).await;
    laptop.go_online().await.unwrap();
    let writing = tokio::spawn({
        let laptop = laptop.clone();
        async move { laptop.write(&name("d"), vec![change("put k 3")]).await }
    });
    let metrics = Http::new(listen.parse().unwrap(), &token("alice"), "metrics");
    soon("a refused write", async {
        while !metrics.get("/metrics").await.body.contains("driftless_session_refusals_total{outcome=\"read_only\"}") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!writing.is_finished());
    server.kill().await;
    let server = Binary::start(data.path(), &listen, &[]).await;
    laptop.go_online().await.unwrap();
    assert!(matches!(soon("the write", writing).await.unwrap(), Ok(WriteOutcome::Written { version: 2, .. })));
    server.kill().await;
}

/// Starts the command on a folder, which must fail, and returns what it said.
async fn refused(data: &TempDir) -> String {
    let arguments = ["dev", "--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap()];
    let output = soon("its end", driftless().args(arguments).output()).await.unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_a_folder_is_told_who_holds_it() {
    let data = TempDir::new().unwrap();
    let server = Binary::start(data.path(), "127.0.0.1:0", &[]).await;
    let said = refused(&data).await;
    assert!(said.contains(&format!("process {}", server.pid())) && said.contains("--data"), "{said}");
    Phone::welcomed(&server.url, &token("alice"), "phone").await.put("d", "k", "1").await;
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_refused_in_a_few_lines_that_name_the_way_out() {
    let data = TempDir::new().unwrap();
    let server = Binary::start(data.path(), "127.0.0.1:0", &[]).await;
    let mut phone = Phone::welcomed(&server.url, &token("alice"), "phone").await;
    for n in 0..50 {
        phone.put("d", &format!("k{n}"), "\"a value of some length\"").await;
    }
    drop(phone);
    server.kill().await;
    let file = std::fs::OpenOptions::new().write(true).open(data.path().join("journal.0")).unwrap();
    file.write_all_at(&[0x55; 256], 1024).unwrap();
    let said = refused(&data).await;
    assert!(said.contains("restore"), "{said}");
    assert!(said.lines().count() < 12 && !said.contains("stack backtrace"), "{said}");
}
