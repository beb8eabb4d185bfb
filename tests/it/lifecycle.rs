//! The life of a server's process: signals, a log that nobody reads, the modes of its files, and its end whatever waits.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

use crate::support::{DeviceHttp, TestDevice, driftless, log_field, send_signal, serve_command, token, wait_for};

/// Runs the binary with another umask. The arguments are those of `driftless`.
fn with_umask(umask: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_driftless")]).args(arguments);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn a_signal_at_the_first_line_finds_its_handler() {
    let folder = TempDir::new().unwrap();
    for signal in ["-HUP", "-TERM", "-INT"] {
        for is_serve in [true, false] {
            let data = folder.path().join("dev");
            let mut command = if is_serve { serve_command(folder.path(), &["--drain-wait-s", "0"]) } else { driftless() };
            if !is_serve {
                command.args(["dev", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
            }
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
            let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
            let (mut printed, mut logged) = (BufReader::new(stdout).lines(), BufReader::new(stderr).lines());
            let first = async { if is_serve { logged.next_line().await } else { printed.next_line().await } };
            wait_for("the first line", first).await.unwrap().expect("a line");
            send_signal(signal, &child).await;
            if signal == "-HUP" {
                let reloaded = async { while !logged.next_line().await.unwrap().expect("the server lives").contains("reloaded") {} };
                wait_for("the reload", reloaded).await;
                send_signal("-TERM", &child).await;
            }
            let mut drained = false;
            wait_for("the log's end", async {
                while let Some(line) = logged.next_line().await.unwrap() {
                    drained |= line.contains("draining sessions") || line.contains("stopped before");
                }
            })
            .await;
            assert!(wait_for("the end", child.wait()).await.unwrap().success() && drained, "{signal} serve={is_serve}");
        }
    }
}

#[tokio::test]
async fn a_log_whose_reader_has_gone_hurts_nothing_and_is_counted() {
    let folder = TempDir::new().unwrap();
    let mut child = serve_command(folder.path(), &["--drain-wait-s", "0", "--log", "debug"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = wait_for("the address", async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the server runs");
            if let Some(address) = log_field(&line, "admin") {
                return address.to_owned();
            }
        }
    })
    .await;
    // As `head -1` does.
    drop(lines);
    let http = DeviceHttp::new(address.parse().unwrap(), "no-token", "phone");
    send_signal("-HUP", &child).await;
    wait_for("a dropped line", async {
        loop {
            let metrics = http.get("/metrics").await.body;
            let dropped = metrics.lines().find_map(|line| line.strip_prefix("driftless_log_lines_dropped_total ")).map(str::to_owned);
            match dropped.expect("the metric is there").parse::<f64>().unwrap() >= 1.0 {
                true => return,
                // The server counts every five seconds.
                false => tokio::time::sleep(std::time::Duration::from_millis(200)).await,
            }
        }
    })
    .await;
    assert_eq!(http.get("/health/ready").await.status, 200);
    send_signal("-TERM", &child).await;
    assert!(wait_for("the end", child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_neither_requests_nor_the_end() {
    let folder = TempDir::new().unwrap();
    let more = ["dev", "--listen", "127.0.0.1:0", "--log", "trace", "--log-lines-per-s", "0", "--data", folder.path().to_str().unwrap()];
    let mut child = driftless().args(more).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = wait_for("the address", async {
        loop {
            let line = printed.next_line().await.unwrap().expect("the server runs");
            if let Some((_, rest)) = line.split_once("http://") {
                return rest.trim_end_matches("/demo/").to_owned();
            }
        }
    })
    .await;
    // The pipe holds 64 KiB; at this level each write logs lines that name the device.
    let mut phone = TestDevice::connect(&format!("http://{address}"), &token("alice"), &"p".repeat(250)).await;
    for version in 1..=550 {
        assert_eq!(phone.put("d", "k", &version.to_string()).await, version);
    }
    send_signal("-TERM", &child).await;
    let status = wait_for("the end", child.wait()).await.unwrap();
    let mut log = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut log).await.unwrap();
    let log = String::from_utf8_lossy(&log);
    assert!(status.success() && !log.contains("draining sessions"), "{status}; the pipe was not full at {} bytes", log.len());
}

#[tokio::test]
async fn a_client_that_reconnects_all_the_time_does_not_fill_the_log() {
    let folder = TempDir::new().unwrap();
    let server = crate::support::DriftlessProcess::start(folder.path(), "127.0.0.1:0", &["--log-lines-per-s", "1"]).await;
    let mut phone = TestDevice::connect(&server.url, &token("alice"), "phone").await;
    for _ in 0..60 {
        // Replaces the session before it, which the server logs.
        phone = TestDevice::connect(&server.url, &token("alice"), "phone").await;
    }
    drop(phone);
    let log = server.terminate().await;
    let closed = log.lines().filter(|line| line.contains("session closed")).count();
    let suppressed = log.lines().filter(|line| line.contains("suppressed lines")).count();
    assert!((10..60).contains(&closed) && suppressed > 0, "{closed} lines, {suppressed} sums:\n{log}");
}

#[tokio::test]
async fn a_command_whose_output_is_closed_ends_quietly() {
    let token = ["token", "--pool", "demo", "--subject", "alice"];
    for arguments in [&["config"][..], &token, &["--help"], &["help", "serve"], &["client", "--help"], &["--version"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let command = driftless().args(arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = wait_for("the end", command.wait_with_output()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(0) && said.is_empty(), "{arguments:?}: {} {said}", output.status);
    }
    // An error that nobody can read changes no exit code.
    for (arguments, code) in [(&["serve"][..], 2), (&["nonsense"], 2), (&["client", "get", "d", "k", "--url", "http://127.0.0.1:9"], 5)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = driftless().args(arguments).stdout(Stdio::null()).stderr(writer).spawn().unwrap();
        assert_eq!(wait_for("the end", command.wait()).await.unwrap().code(), Some(code), "{arguments:?}");
    }
    for arguments in [&["config"][..], &["--version"], &["--help"], &["client", "put", "--help"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let command = driftless().args(arguments).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let output = wait_for("the end", command.wait_with_output()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains("cannot write to stdout"), "{arguments:?}: {said}");
    }
}

/// Every file and folder below a folder that another account could use.
fn open_to_others(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut rest = vec![folder.to_owned()];
    while let Some(path) = rest.pop() {
        let about = path.symlink_metadata().unwrap();
        if about.is_dir() {
            rest.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let mode = about.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            found.push((path, format!("{mode:o}")));
        }
    }
    found
}

#[tokio::test]
async fn whatever_the_umask_no_other_account_can_read_what_holds_data() {
    for (umask, engine) in [("0", "sled"), ("022", "redb")] {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let all = path("all");
        let (data, backup, document, records, restored) =
            (path("all/deep/data"), path("all/backup"), path("all/alice.json"), path("all/d.json"), path("all/restored"));
        let flags = ["dev", "--listen", "127.0.0.1:0", "--data", &data, "--store-engine", engine];
        let mut child = with_umask(umask, &flags).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = wait_for("the address", async {
            loop {
                let line = printed.next_line().await.unwrap().expect("the server runs");
                if let Some(at) = line.find("http://") {
                    return line[at..].trim_end_matches("/demo/").to_owned();
                }
            }
        })
        .await;
        TestDevice::connect(&url, &token("alice"), "phone").await.put("d", "k", "1").await;
        for arguments in [
            &["backup", &backup, "--url", &url][..],
            &["export-identity", "--subject", "alice", "--out", &document, "--url", &url],
            &["client", "export", "d", &records, "--url", &url],
        ] {
            let output = wait_for("the command's end", with_umask(umask, arguments).output()).await.unwrap();
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        assert_eq!(open_to_others(Path::new(&all)), [], "while the server runs, umask {umask}");
        send_signal("-TERM", &child).await;
        assert!(wait_for("the end", child.wait()).await.unwrap().success());
        std::fs::create_dir(&restored).unwrap();
        std::fs::set_permissions(&restored, std::fs::Permissions::from_mode(0o755)).unwrap();
        let restore = ["restore", &backup, "--data", &restored, "--store-engine", engine];
        let output = wait_for("the restore's end", with_umask(umask, &restore).output()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(open_to_others(Path::new(&all)), [], "after the end and a restore, umask {umask}");
    }
}

#[tokio::test]
async fn a_folder_that_others_could_read_is_tightened_and_the_log_says_so() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let server = crate::support::DriftlessProcess::start(&data, "127.0.0.1:0", &[]).await;
    server.terminate().await;
    for path in [data.clone(), data.join("db"), data.join("journal.0")] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let server = crate::support::DriftlessProcess::start(&data, "127.0.0.1:0", &[]).await;
    assert_eq!(open_to_others(&data), []);
    let log = server.terminate().await;
    assert!(log.contains("other accounts had access to the data folder") && log.contains("755"), "{log}");
    assert!(log.contains("other accounts had access to files of the data folder") && log.contains("files=2"), "{log}");
}
