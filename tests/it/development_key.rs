//! The access key of `driftless dev`, which is public: it works as the banner prints it, and no server for production serves a store that has it.

use std::path::Path;
use std::process::Stdio;

use driftless::access::{DEVELOPMENT_ACCESS_KEY_ID, DEVELOPMENT_ACCOUNT};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::support::aws::{AwsClient, element};
use crate::support::commands::{output, printed, production_config, text};
use crate::support::{DriftlessProcess, driftless, operator_output, wait_for};

const WHO: &str = "Action=GetCallerIdentity&Version=2011-06-15";

/// Starts `driftless dev`, and reads its banner to the end.
async fn dev(data: &Path) -> (Child, Vec<String>) {
    let mut dev = driftless()
        .args(["dev", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap(), "--store-cache-mib", "16"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(dev.stdout.take().unwrap()).lines();
    let mut banner = Vec::new();
    while !banner.last().is_some_and(|line: &String| line.contains("Ctrl-C")) {
        banner.push(wait_for("the banner", lines.next_line()).await.unwrap().expect("the server runs"));
    }
    (dev, banner)
}

/// The value of a variable that the banner exports.
fn exported<'a>(banner: &'a [String], name: &str) -> Option<&'a str> {
    banner.iter().find_map(|line| line.trim().strip_prefix("export ")?.strip_prefix(name)?.strip_prefix('='))
}

#[tokio::test]
async fn the_access_key_that_dev_prints_signs_requests_after_each_start() {
    let folder = TempDir::new().unwrap();
    for _ in 0..2 {
        let (mut process, banner) = dev(folder.path()).await;
        let url = exported(&banner, "AWS_ENDPOINT_URL").expect("an address");
        let client = AwsClient {
            address: url.strip_prefix("http://").unwrap().parse().unwrap(),
            key: exported(&banner, "AWS_ACCESS_KEY_ID").expect("an id").to_owned(),
            secret: exported(&banner, "AWS_SECRET_ACCESS_KEY").expect("a secret").to_owned(),
            service: "sts",
            ahead_s: 0,
            token: None,
        };
        let who = client.send(WHO).await;
        assert_eq!((who.status, element(&who, "Arn")), (200, "arn:aws:iam::123456789012:root"), "{}", who.body);
        assert_eq!(exported(&banner, "AWS_DEFAULT_REGION"), Some("local"));
        for call in ["aws sts get-caller-identity", "aws s3 cp FILE s3://demo/"] {
            assert!(banner.iter().any(|line| line.trim() == call), "{banner:?}");
        }
        let keys = operator_output(url, &["access", "keys", DEVELOPMENT_ACCOUNT]).await;
        assert!(keys.contains(DEVELOPMENT_ACCESS_KEY_ID) && keys.lines().count() == 2, "{keys}");
        process.kill().await.unwrap();
    }
}

#[tokio::test]
async fn a_root_with_two_other_keys_keeps_them_and_the_log_says_why_none_was_added() {
    let folder = TempDir::new().unwrap();
    let (mut process, banner) = dev(folder.path()).await;
    let url = exported(&banner, "AWS_ENDPOINT_URL").expect("an address");
    operator_output(url, &["access", "delete-key", DEVELOPMENT_ACCOUNT, DEVELOPMENT_ACCESS_KEY_ID]).await;
    for _ in 0..2 {
        operator_output(url, &["access", "rotate", DEVELOPMENT_ACCOUNT]).await;
    }
    process.kill().await.unwrap();
    let (process, banner) = dev(folder.path()).await;
    assert!(!banner.iter().any(|line| line.contains("AWS_") || line.contains("aws sts")), "{banner:?}");
    let mut log = BufReader::new(process.stderr.unwrap()).lines();
    wait_for("the reason", async {
        while !log.next_line().await.unwrap().expect("the server runs").contains("has two access keys already") {}
    })
    .await;
}

#[tokio::test]
async fn a_store_with_the_development_key_is_not_served_until_the_key_is_deleted() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let config = production_config(folder.path(), "");
    let place = format!("listen = \"127.0.0.1:0\"\ndata = {data:?}\n");
    std::fs::write(&config, place + &std::fs::read_to_string(&config).unwrap()).unwrap();
    printed(&["config", "check", &config]).await;
    let (mut process, banner) = dev(&data).await;
    let url = exported(&banner, "AWS_ENDPOINT_URL").expect("an address").to_owned();
    // A disabled key can be enabled again: it is refused as well.
    operator_output(&url, &["access", "disable", DEVELOPMENT_ACCOUNT, DEVELOPMENT_ACCESS_KEY_ID]).await;
    process.kill().await.unwrap();

    let refused = output(&["serve", "--config", &config, "--admin-listen", "127.0.0.1:0"], &[]).await;
    let why = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{why}");
    let delete = format!("driftless access delete-key {DEVELOPMENT_ACCOUNT} {DEVELOPMENT_ACCESS_KEY_ID}");
    assert!(why.contains(&delete) && why.contains("whose secret is public") && why.contains("--data"), "{why}");

    let (mut process, banner) = dev(&data).await;
    let url = exported(&banner, "AWS_ENDPOINT_URL").expect("an address").to_owned();
    operator_output(&url, &delete.split(' ').skip(1).collect::<Vec<_>>()).await;
    process.kill().await.unwrap();
    DriftlessProcess::serve(config.as_ref()).await.terminate().await;
}
