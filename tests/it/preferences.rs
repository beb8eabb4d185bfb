//! Real data: the settings file of a browser, imported on one device, synced and exported on another.

use std::path::Path;
use std::process::Stdio;

use driftless_client::{Device, Event, Settings, TokenSource};
use driftless_protocol::DeviceId;
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::support::{DriftlessProcess, client_output, driftless, name, token, value, wait_for};

/// Runs a browser once, and returns the settings file that it writes.
async fn preferences(profile: &Path) -> String {
    let browser = std::env::var("CHROMIUM_BIN").unwrap_or_else(|_| "chromium".to_owned());
    let arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
    let mut command = Command::new(browser);
    command.args(arguments).args(["--disable-component-update", "--disable-sync", "--dump-dom", "about:blank"]);
    command.arg(format!("--user-data-dir={}", profile.display())).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(wait_for("the browser's end", command.status()).await.expect("chromium is installed: tests/run does it").success());
    std::fs::read_to_string(profile.join("Default/Preferences")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browsers_settings_are_imported_synced_and_exported_unchanged() {
    let folder = TempDir::new().unwrap();
    let server = DriftlessProcess::start(&folder.path().join("store"), "127.0.0.1:0", &[]).await;
    let text = preferences(&folder.path().join("profile")).await;
    let original: Json = serde_json::from_str(&text).unwrap();
    let file = folder.path().join("Preferences.json");
    std::fs::write(&file, &text).unwrap();

    let settings = Settings::new(&server.url, DeviceId::new("laptop").unwrap(), TokenSource::fixed(token("alice"))).unwrap();
    let (laptop, mut events) = Device::connect(settings);
    laptop.open(&name("settings")).await.unwrap();
    client_output(&server.url, &["--device", "phone", "import", "settings", file.to_str().unwrap()]).await;
    let imported = laptop.list().await.unwrap()[0].clone();
    assert!(imported.records > 100, "{} settings are no real file", imported.records);
    wait_for("every key on the laptop", async {
        while laptop.position(&name("settings")).await.unwrap().is_none_or(|position| position.version < imported.version) {
            assert!(events.find(|event| matches!(event, Event::Synced { .. } | Event::Dropped { .. })).await.is_some());
        }
    })
    .await;
    assert_eq!(laptop.records(&name("settings")).await.unwrap().unwrap().len() as u64, imported.records);

    let export = || async { value(&client_output(&server.url, &["--device", "desktop", "export", "settings"]).await) };
    assert_eq!(export().await, value(&text), "the export equals the import");

    // Two devices change some of the settings.
    client_output(&server.url, &["--device", "phone", "put", "settings", "browser.zoom=1.5", "profile.name=Ada \"Countess\" Lovelace"])
        .await;
    client_output(&server.url, &["--device", "tablet", "put", "settings", "session.restore=[\"a\",{\"b\":null}]"]).await;
    client_output(&server.url, &["--device", "tablet", "add", "settings", "profile.visits=3"]).await;
    let mut expected = original;
    expected["browser"]["zoom"] = 1.5.into();
    expected["profile"]["name"] = "Ada \"Countess\" Lovelace".into();
    expected["profile"]["visits"] = 3.into();
    expected["session"]["restore"] = serde_json::json!(["a", { "b": null }]);
    assert_eq!(export().await, value(&expected.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_line_client_watches_the_changes_of_another() {
    let folder = TempDir::new().unwrap();
    let server = DriftlessProcess::start(folder.path(), "127.0.0.1:0", &[]).await;
    let mut watch = driftless();
    watch.args(["client", "--url", &server.url, "watch", "settings", "--device", "laptop"]).stdout(Stdio::piped()).kill_on_drop(true);
    client_output(&server.url, &["put", "settings", "theme=light", "--device", "phone"]).await;
    let mut watching = watch.spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut next = async |wanted: &str| {
        wait_for(wanted, async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the command runs");
                if line.contains(wanted) {
                    return line;
                }
            }
        })
        .await
    };
    next("light").await;
    client_output(&server.url, &["put", "settings", "theme=dark", "--device", "phone"]).await;
    let line = next("dark").await;
    assert!(line.contains("theme") && line.contains("phone"), "{line}");
    client_output(&server.url, &["add", "settings", "visits=2", "--device", "phone"]).await;
    next("visits").await;
    client_output(&server.url, &["remove", "settings", "theme", "--device", "phone"]).await;
    next("theme").await;
    assert_eq!(client_output(&server.url, &["get", "settings", "visits"]).await.trim(), "2");
    assert!(client_output(&server.url, &["list", "settings"]).await.contains("visits"));
    assert!(client_output(&server.url, &["list"]).await.contains("settings"));
    let missing = wait_for("get", driftless().args(["client", "--url", &server.url, "get", "settings", "theme"]).output()).await.unwrap();
    assert!(!missing.status.success());
}

/// Runs `driftless client ...` with a text as stdin; returns the exit code, stdout and stderr.
async fn client_with_input(url: &str, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = driftless();
    command.args(["client", "--url", url]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = wait_for("the client's end", child.wait_with_output()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_from_stdin_is_imported_beside_what_is_there_and_what_does_not_exist_is_named() {
    let folder = TempDir::new().unwrap();
    let server = DriftlessProcess::start(folder.path(), "127.0.0.1:0", &[]).await;
    let client = async |arguments: &[&str], input: &str| client_with_input(&server.url, arguments, input).await;
    for (file, exported) in [
        (r#"{"proxy":"none","zoom":952510211.1858401}"#, r#"{"proxy":"none","zoom":952510211.1858401}"#),
        (r#"{"proxy":{"host":"h","port":1}}"#, r#"{"proxy":{"host":"h","port":1},"zoom":952510211.1858401}"#),
        (r#"{"proxy":{"host":{"name":"n"}}}"#, r#"{"proxy":{"host":{"name":"n"},"port":1},"zoom":952510211.1858401}"#),
        (r#"{"proxy":[]}"#, r#"{"proxy":[],"zoom":952510211.1858401}"#),
    ] {
        let (code, _, errors) = client(&["import", "s", "-"], file).await;
        assert_eq!(code, Some(0), "{file}: {errors}");
        let (code, printed, errors) = client(&["export", "s", "-"], "").await;
        assert_eq!((code, value(&printed)), (Some(0), value(exported)), "{file}: {errors}");
    }
    let (code, _, errors) = client(&["import", "s", "-"], r#"{"n":18446744073709551616}"#).await;
    assert!(code == Some(1) && errors.contains("stdin") && errors.contains("18446744073709551616"), "{errors}");

    let (code, _, errors) = client(&["put", "s", "a={bad"], "").await;
    assert!(code == Some(0) && errors.contains("stored as text") && errors.contains("--json") && errors.contains("--text"), "{errors}");
    let (code, _, errors) = client(&["put", "s", "a={bad", "--text"], "").await;
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert_eq!(client(&["put", "s", "a={bad", "--json"], "").await.0, Some(2));
    assert_eq!(client(&["put", "s", "a=18446744073709551616"], "").await.0, Some(2));
    assert_eq!(client(&["get", "s", "a"], "").await.1, "\"{bad\"\n");
    for (arguments, says) in [
        (&["get", "s", "zom"][..], "did you mean zoom?"),
        (&["get", "t", "zoom"], "there is no dataset t; did you mean s?"),
        (&["list", "missing"], "there is no dataset missing"),
        (&["export", "missing"], "there is no dataset missing"),
        (&["remove", "s", "zoom", "zom"], "s has no record zom"),
    ] {
        let (code, printed, errors) = client(arguments, "").await;
        assert!(code == Some(1) && printed.is_empty() && errors.contains(says), "{arguments:?}: {code:?} {errors}");
    }
    assert_eq!(client(&["get", "s", "zoom"], "").await.1, "952510211.1858401\n", "a removal that fails removes nothing");
    assert!(!client(&["list"], "").await.1.contains("missing"), "no dataset was made");
}
