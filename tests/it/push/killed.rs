use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use driftless::auth::{MintClaims, mint};
use driftless_standin::StandInGateway;
use tempfile::TempDir;

use crate::support::push::{apns, pool, pool_with_key, registration};
use crate::support::{Binary, Http, Phone, soon};

const SECRET: &str = "a secret of this story, shared with its issuer";

fn token(person: &str) -> String {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = MintClaims { issuer: "story", audience: "app", subject: person, issued_s: now_s, expires_s: now_s + 3600 };
    mint(SECRET, &claims).unwrap()
}

/// The configuration of a production server, on a port of its own.
fn config(folder: &Path, gateway: &StandInGateway, grace_ms: u64) -> PathBuf {
    config_of(folder, &pool(gateway, "", &format!("grace_ms = {grace_ms}")))
}

fn config_of(folder: &Path, pool: &str) -> PathBuf {
    let text = format!(
        "listen = \"127.0.0.1:0\"\ndata = {:?}\n[store]\ncache_mib = 16\n{}\n\
         [[pools.demo.issuers]]\nissuer = \"story\"\naudience = [\"app\"]\nsecret = {SECRET:?}\n",
        folder.join("store"),
        pool,
    );
    let file = folder.join("driftless.toml");
    std::fs::write(&file, text).unwrap();
    file
}

#[tokio::test]
async fn a_server_that_is_killed_between_write_and_push_wakes_once_all_the_same() {
    let gateway = StandInGateway::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let config = config(folder.path(), &gateway, 1_500);
    let target = apns(&gateway);
    let address = target.address().to_owned();
    let server = Binary::serve(&config).await;
    Phone::welcomed(&server.url, &token("alice"), "phone").await.registers(registration(target)).await;
    let mut laptop = Phone::welcomed(&server.url, &token("alice"), "laptop").await;
    laptop.put("settings", "theme", "\"dark\"").await;
    server.kill().await;
    assert!(gateway.pushes_to(&address).is_empty(), "it was killed too late");
    let server = Binary::serve(&config).await;
    let pushed = soon("a wake", gateway.wait_for_pushes(&address, 1)).await;
    assert_eq!(pushed[0].data()["version"], "1");
    // Again, after what came of it was kept: nothing more is owed.
    server.terminate().await;
    let server = Binary::serve(&config).await;
    let mut laptop = Phone::welcomed(&server.url, &token("alice"), "laptop").await;
    laptop.is_quiet().await;
    server.kill().await;
    assert_eq!(gateway.pushes_to(&address).len(), 1);
    assert_eq!(gateway.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn sighup_reads_the_credentials_again_and_a_wrong_one_changes_nothing() {
    let gateway = StandInGateway::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let file = config(folder.path(), &gateway, 100);
    let mut server = Binary::serve(&file).await;
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, good.replace("key_id", "kid")).unwrap();
    server.hang_up("configuration reload failed").await;
    let key = gateway.rotate_apns_key("ROTATED001").unwrap();
    config_of(folder.path(), &pool_with_key(&gateway, "", "grace_ms = 100", (&key, "ROTATED001")));
    server.hang_up("wake settings reloaded").await;
    let target = apns(&gateway);
    let address = target.address().to_owned();
    Phone::welcomed(&server.url, &token("alice"), "phone").await.registers(registration(target)).await;
    Phone::welcomed(&server.url, &token("alice"), "laptop").await.put("settings", "n", "1").await;
    soon("a wake with the new key", gateway.wait_for_pushes(&address, 1)).await;
}

#[tokio::test]
async fn a_credential_that_does_not_parse_is_refused_at_the_start_with_its_name() {
    let gateway = StandInGateway::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let file = config(folder.path(), &gateway, 100);
    let good = std::fs::read_to_string(&file).unwrap();
    let credentials = gateway.credentials();
    let broken = folder.path().join("broken.pem");
    std::fs::write(&broken, "no key").unwrap();
    for good_file in [&credentials.apns_key, &credentials.service_account, &credentials.vapid_key, &credentials.authority] {
        std::fs::write(&file, good.replace(good_file.to_str().unwrap(), broken.to_str().unwrap())).unwrap();
        let ended = crate::support::driftless().args(["serve", "--config", file.to_str().unwrap()]).output();
        let output = soon("the refusal", ended).await.unwrap();
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && why.contains("broken.pem"), "{}: {why}", good_file.display());
    }
}

#[tokio::test]
async fn a_full_disk_makes_no_storm_of_wakes() {
    let gateway = StandInGateway::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let file = config(folder.path(), &gateway, 1_500);
    let target = apns(&gateway);
    let address = target.address().to_owned();
    let server = Binary::serve(&file).await;
    Phone::welcomed(&server.url, &token("alice"), "phone").await.registers(registration(target)).await;
    Phone::welcomed(&server.url, &token("alice"), "laptop").await.put("settings", "n", "1").await;
    server.kill().await;
    // More space has to stay free than any disk has: everything can be read and nothing written.
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, good.replace("cache_mib = 16", "cache_mib = 16\nreserve_mib = 1000000000")).unwrap();
    let server = Binary::serve(&file).await;
    soon("a wake", gateway.wait_for_pushes(&address, 1)).await;
    let metrics = Http::new(server.address().parse().unwrap(), "", "nobody");
    soon("what came of it cannot be kept, again and again", async {
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
