use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use driftless::auth::{MintClaims, mint};
use driftless_standin::StandInGateway;
use tempfile::TempDir;

use crate::support::push::{apns, pool, pool_with_key, registration};
use crate::support::{DeviceHttp, DriftlessProcess, TestDevice, wait_for};

const SECRET: &str = "a secret of this test, shared with its issuer";

pub(super) fn token(person: &str) -> String {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = MintClaims { issuer: "test", audience: "app", subject: person, issued_s: now_s, expires_s: now_s + 3600 };
    mint(SECRET, &claims).unwrap()
}

/// Writes the configuration of a production server on a free port.
fn write_config(folder: &Path, gateway: &StandInGateway, grace_ms: u64) -> PathBuf {
    write_config_with(folder, &pool(gateway, "", &format!("grace_ms = {grace_ms}")))
}

pub(super) fn write_config_with(folder: &Path, pool: &str) -> PathBuf {
    let text = format!(
        "listen = \"127.0.0.1:0\"\ndata = {:?}\n[store]\ncache_mib = 16\n{}\n\
         [[pools.demo.issuers]]\nissuer = \"test\"\naudience = [\"app\"]\nsecret = {SECRET:?}\n",
        folder.join("store"),
        pool,
    );
    let file = folder.join("driftless.toml");
    std::fs::write(&file, text).unwrap();
    file
}

#[tokio::test]
async fn a_server_killed_between_write_and_push_sends_the_wake_once_after_its_restart() {
    let gateway = StandInGateway::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let config = write_config(folder.path(), &gateway, 1_500);
    let target = apns(&gateway);
    let address = target.address().to_owned();
    let server = DriftlessProcess::serve(&config).await;
    TestDevice::connect(&server.url, &token("alice"), "phone").await.register(registration(target)).await;
    let mut laptop = TestDevice::connect(&server.url, &token("alice"), "laptop").await;
    laptop.put("settings", "theme", "\"dark\"").await;
    server.kill().await;
    assert!(gateway.pushes_to(&address).is_empty(), "the server was killed too late");
    let server = DriftlessProcess::serve(&config).await;
    let pushed = wait_for("a wake", gateway.wait_for_pushes(&address, 1)).await;
    assert_eq!(pushed[0].data()["version"], "1");
    // After another restart: the stored result of the wake has cleared the debt.
    server.terminate().await;
    let server = DriftlessProcess::serve(&config).await;
    let mut laptop = TestDevice::connect(&server.url, &token("alice"), "laptop").await;
    laptop.assert_quiet().await;
    server.kill().await;
    assert_eq!(gateway.pushes_to(&address).len(), 1);
    assert_eq!(gateway.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn sighup_reloads_the_push_credentials_and_ignores_an_invalid_configuration() {
    let gateway = StandInGateway::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let file = write_config(folder.path(), &gateway, 100);
    let mut server = DriftlessProcess::serve(&file).await;
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, good.replace("key_id", "kid")).unwrap();
    server.reload("configuration reload failed").await;
    let key = gateway.rotate_apns_key("ROTATED001").unwrap();
    write_config_with(folder.path(), &pool_with_key(&gateway, "", "grace_ms = 100", (&key, "ROTATED001")));
    server.reload("wake settings reloaded").await;
    let target = apns(&gateway);
    let address = target.address().to_owned();
    TestDevice::connect(&server.url, &token("alice"), "phone").await.register(registration(target)).await;
    TestDevice::connect(&server.url, &token("alice"), "laptop").await.put("settings", "n", "1").await;
    wait_for("a wake with the new key", gateway.wait_for_pushes(&address, 1)).await;
}

#[tokio::test]
async fn an_unparsable_push_credential_is_refused_at_startup_with_its_file_name() {
    let gateway = StandInGateway::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let file = write_config(folder.path(), &gateway, 100);
    let good = std::fs::read_to_string(&file).unwrap();
    let credentials = gateway.credentials();
    let broken = folder.path().join("broken.pem");
    std::fs::write(&broken, "no key").unwrap();
    for good_file in [&credentials.apns_key, &credentials.service_account, &credentials.vapid_key, &credentials.authority] {
        std::fs::write(&file, good.replace(good_file.to_str().unwrap(), broken.to_str().unwrap())).unwrap();
        let ended = crate::support::driftless().args(["serve", "--config", file.to_str().unwrap()]).output();
        let output = wait_for("the refusal", ended).await.unwrap();
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && why.contains("broken.pem"), "{}: {why}", good_file.display());
    }
}

#[tokio::test]
async fn a_wake_whose_result_cannot_be_stored_is_not_repeated() {
    let gateway = StandInGateway::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let file = write_config(folder.path(), &gateway, 1_500);
    let target = apns(&gateway);
    let address = target.address().to_owned();
    let server = DriftlessProcess::serve(&file).await;
    TestDevice::connect(&server.url, &token("alice"), "phone").await.register(registration(target)).await;
    TestDevice::connect(&server.url, &token("alice"), "laptop").await.put("settings", "n", "1").await;
    server.kill().await;
    // The reserve is larger than any disk: the store can be read but not written.
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, good.replace("cache_mib = 16", "cache_mib = 16\nreserve_mib = 1000000000")).unwrap();
    let server = DriftlessProcess::serve(&file).await;
    wait_for("a wake", gateway.wait_for_pushes(&address, 1)).await;
    let metrics = DeviceHttp::new(server.address().parse().unwrap(), "", "nobody");
    wait_for("the result of the wake cannot be stored, again and again", async {
        loop {
            let text = metrics.get("/metrics").await.body;
            let refused =
                text.lines().find_map(|line| line.strip_prefix("driftless_store_failures_total{outcome=\"full\"} ")?.parse::<u64>().ok());
            if refused.is_some_and(|refused| refused >= 4) {
                return;
            }
        }
    })
    .await;
    assert_eq!(gateway.pushes_to(&address).len(), 1);
}
