//! A server ends in time, whatever waits; and it accepts nothing before its store is open.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::{DeviceHttp, ServingChild, TestDevice, driftless, send_signal, serve_command, serve_token, wait_for};

/// A pipe that nobody writes to: reading it waits for ever.
fn make_pipe(path: &Path) {
    let _ = std::fs::remove_file(path);
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[tokio::test]
async fn a_server_says_that_it_is_not_ready_before_it_drains_and_a_second_signal_ends_it_at_once() {
    let folder = TempDir::new().unwrap();
    let mut server = ServingChild::start(folder.path(), &["--drain-wait-s", "3600"]).await;
    let http = DeviceHttp::new(server.address, &serve_token("alice"), "phone");
    assert_eq!(http.get("/health/ready").await.status, 200);
    server.signal("-TERM").await;
    server.wait_for_log("draining soon").await;
    let details = DeviceHttp::new(server.admin, "", "monitor").get("/health/ready").await;
    assert_eq!((http.get("/health/ready").await.status, http.get("/health/live").await.status, details.status), (503, 200, 503));
    assert!(details.body.contains("shutting down"), "{}", details.body);
    // It serves as before.
    let mut phone = TestDevice::connect(&format!("http://{}", server.address), &serve_token("alice"), "phone").await;
    assert_eq!((phone.put("d", "k", "1").await, http.get("/v1/datasets").await.status), (1, 200));
    server.signal("-TERM").await;
    let (status, log) = server.end().await;
    assert!(status.code() == Some(128 + 15) && log.contains("ends without draining"), "{status} {log}");
}

#[tokio::test]
async fn nothing_that_waits_keeps_a_server_from_its_end() {
    let folder = TempDir::new().unwrap();
    let mut server = ServingChild::start(folder.path(), &["--drain-wait-s", "0", "--drain-s", "10"]).await;
    let url = format!("http://{}", server.address);
    let mut phone = TestDevice::connect(&url, &serve_token("alice"), "phone").await;
    phone.put("d", "k", &format!("\"{}\"", "x".repeat(900_000))).await;
    // A request whose body never comes, a response that nobody reads, and a connection that says nothing.
    let head =
        |rest: &str| format!("{rest} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {}\r\nDriftless-Device: tv\r\n", serve_token("alice"));
    let mut half = TcpStream::connect(server.address).await.unwrap();
    half.write_all(format!("{}Content-Length: 10\r\n\r\n{{", head("POST /v1/datasets/d/write")).as_bytes()).await.unwrap();
    let mut unread = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..32 {
        unread.write_all(format!("{}\r\n", head("GET /v1/datasets/d/changes")).as_bytes()).await.unwrap();
    }
    wait_for("the first byte", unread.read_u8()).await.unwrap();
    let silent = TcpStream::connect(server.address).await.unwrap();
    // A thread that waits for a file, as a thread can wait for a name server.
    make_pipe(&folder.path().join("driftless.toml"));
    server.signal("-HUP").await;
    server.signal("-TERM").await;
    server.wait_for_log("draining sessions").await;
    let (status, log) = server.end().await;
    assert!(status.success() && log.contains("drain timed out"), "{status} {log}");
    drop((half, unread, silent));
}

#[tokio::test]
async fn a_process_whose_main_thread_is_blocked_ends_in_time() {
    let folder = TempDir::new().unwrap();
    // A terminal that takes nothing: the banner waits for ever.
    let (reader, mut writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while std::io::Write::write(&mut writer, &[0; 1 << 16]).is_ok() {}
    while std::io::Write::write(&mut writer, &[0]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    let mut command = driftless();
    command.args(["dev", "--listen", "127.0.0.1:0", "--drain-s", "1", "--data", folder.path().join("data").to_str().unwrap()]);
    let mut child = command.stdout(writer).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    wait_for("the start", async { while !log.next_line().await.unwrap().expect("a line").contains("server started") {} }).await;
    send_signal("-TERM", &child).await;
    let mut last = String::new();
    wait_for("the log's end", async {
        while let Some(line) = log.next_line().await.unwrap() {
            last = line;
        }
    })
    .await;
    let status = wait_for("the end", child.wait()).await.unwrap();
    assert!(status.code() == Some(1) && last.contains("did not stop in time"), "{status} {last}");
    drop(reader);
}

#[tokio::test]
async fn a_port_accepts_nothing_while_the_store_opens_and_a_signal_ends_the_opening() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    // Reading the folder's format waits for ever.
    make_pipe(&folder.path().join("data/engine"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut opening = serve_command(folder.path(), &["--listen", &port.to_string(), "--admin-listen", &port.to_string()]).spawn().unwrap();
    wait_for("the opening", async {
        while !folder.path().join("data/driftless.lock").exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let refused = TcpStream::connect(port).await.map(drop).map_err(|error| error.kind());
    assert_eq!(refused, Err(std::io::ErrorKind::ConnectionRefused));
    send_signal("-TERM", &opening).await;
    assert!(wait_for("the end", opening.wait()).await.unwrap().success());
}

#[tokio::test]
async fn a_port_in_use_is_reported_before_the_store_is_touched() {
    let folder = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin-listen"] {
        let data = folder.path().join("never");
        let arguments = ["dev", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap(), flag, &address];
        let arguments = if flag == "--listen" { [&arguments[..1], &arguments[3..]].concat() } else { arguments.to_vec() };
        let output = wait_for("the end", driftless().args(&arguments).output()).await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(&address) && error.contains(flag), "{error}");
        assert!(!data.exists());
    }
}
