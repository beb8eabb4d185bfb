//! What every command has in common: names as called, variables, completions, manual pages, the version.

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

use crate::support::commands::{output, printed, production_config as config, text};
use crate::support::{TestServer, operator_output, token};

#[tokio::test]
async fn a_configuration_is_checked_with_the_files_that_it_names() {
    let folder = TempDir::new().unwrap();
    let fine = printed(&["config", "check", &config(folder.path(), "")]).await;
    assert!(fine.contains("driftless.toml can be used; pools: app"), "{fine}");
    let garbage = folder.path().join("garbage.pem");
    std::fs::write(&garbage, "garbage").unwrap();
    let garbage = garbage.to_str().unwrap();
    let more = format!(
        "[[pools.app.issuers]]\nissuer = \"j\"\naudience = [\"a\"]\nkeys_file = \"/nonexistent.json\"\n\
         [[pools.app.issuers]]\nissuer = \"k\"\naudience = [\"a\"]\nkeys_file = {garbage:?}\n\
         [[pools.app.push.apns]]\napp = \"a\"\nkey_file = {garbage:?}\nkey_id = \"K\"\nteam_id = \"T\"\n\
         [tls]\ncertificate = \"/nonexistent.pem\"\nkey = \"/nonexistent.pem\"\n"
    );
    let file = config(folder.path(), &more);
    let checked = output(&["config", "check", &file], &[]).await;
    let errors = text(&checked.stderr);
    assert_eq!(checked.status.code(), Some(2), "{errors}");
    for says in [
        "5 errors in the configuration",
        "line 8: pools.app.issuers, issuer \"j\": keys_file cannot be read: /nonexistent.json",
        "line 12: pools.app.issuers, issuer \"k\": keys_file cannot be used",
        "line 15: pools.app.push.apns.key_file: ",
        "line 19: tls.certificate: /nonexistent.pem",
        "line 20: tls.key: /nonexistent.pem",
    ] {
        assert!(errors.contains(says), "{says}\n{errors}");
    }
    // A start says the same of the first of them.
    let data = folder.path().join("data");
    let started = output(&["serve", "--config", &file, "--tls-certificate", garbage, "--data", data.to_str().unwrap()], &[]).await;
    assert!(!started.status.success() && text(&started.stderr).contains("line 8: pools.app.issuers"), "{}", text(&started.stderr));
    let listed = output(&["config", "check", &config(folder.path(), "")], &[("DRIFTLESS_LISTEN", "nowhere")]).await;
    assert!(text(&listed.stderr).contains("DRIFTLESS_LISTEN: listen must be an IP address and a port"), "{}", text(&listed.stderr));
}

#[tokio::test]
async fn identities_are_listed_in_pages_and_searched_by_login() {
    let server = TestServer::start().await;
    for (at, person) in ["alice", "alina", "bob", "al"].iter().enumerate() {
        server.device(person, &format!("d{at}")).await;
    }
    let url = server.url();
    let page = async |arguments: &[&str]| {
        let text = operator_output(&url, &[&["identities", "list", "--json"], arguments].concat()).await;
        let page: Value = serde_json::from_str(&text).unwrap();
        let subjects: Vec<String> =
            page["logins"].as_array().unwrap().iter().map(|one| one["subject"].as_str().unwrap().to_owned()).collect();
        (subjects, page["next"].as_str().map(str::to_owned))
    };
    assert_eq!(page(&[]).await, (["al", "bob", "alice", "alina"].map(str::to_owned).to_vec(), None));
    let (first, next) = page(&["--login", "al", "--limit", "2"]).await;
    assert_eq!(first, ["al", "alice"]);
    assert_eq!(page(&["--login", "al", "--limit", "2", "--after", &next.unwrap()]).await.0, ["alina"]);
    assert_eq!(page(&["--issuer", "driftless-dev", "--login", "bo"]).await.0, ["bob"]);
    assert!(page(&["--issuer", "another"]).await.0.is_empty());
    let table = operator_output(&url, &["identities", "list", "--login", "ali"]).await;
    assert!(table.starts_with("identity") && table.lines().count() == 3 && table.contains("driftless-dev  alice"), "{table}");
    let refused = server.operator().get("/logins?pool=demo&after=%21").await;
    assert_eq!((refused.status, refused.text().contains("next of an earlier answer")), (400, true));
}

#[tokio::test]
async fn a_server_with_several_pools_asks_for_one() {
    let folder = TempDir::new().unwrap();
    let issuer = |pool: &str| {
        format!(
            "[[pools.{pool}.issuers]]\nissuer = \"i\"\naudience = [{pool:?}]\nsecret = \"a secret that only this test and its issuer know\"\n"
        )
    };
    let file = folder.path().join("two.toml");
    std::fs::write(&file, format!("{}{}", issuer("one"), issuer("two"))).unwrap();
    let file = file.to_str().unwrap();
    let several = output(&["token", "--config", file, "--subject", "ann"], &[]).await;
    assert!(text(&several.stderr).contains("--pool: one, two"), "{several:?}");
    assert_eq!(printed(&["token", "--config", file, "--subject", "ann", "--pool", "two"]).await.lines().count(), 1);
    let only = config(folder.path(), "");
    assert_eq!(printed(&["token", "--config", &only, "--subject", "ann"]).await.lines().count(), 1);
    let by_variable = output(&["token", "--subject", "ann"], &[("DRIFTLESS_CONFIG", &only)]).await;
    assert!(by_variable.status.success(), "{by_variable:?}");
    assert_eq!(printed(&["token", "--subject", "ann"]).await.lines().count(), 1, "of dev");
}

#[tokio::test]
async fn keys_and_tokens_stand_in_files() {
    let (server, folder) = (TestServer::start().await, TempDir::new().unwrap());
    let (key, of_alice) = (folder.path().join("key"), folder.path().join("token"));
    std::fs::write(&key, format!("{}\n", driftless::admin::DEVELOPMENT_KEY)).unwrap();
    std::fs::write(&of_alice, format!("{}\n", token("alice"))).unwrap();
    let (url, key, of_alice) = (server.url(), key.to_str().unwrap(), of_alice.to_str().unwrap());
    for (arguments, variable, value) in
        [(&["client", "put", "d", "k=1"][..], "DRIFTLESS_TOKEN_FILE", of_alice), (&["identities", "list"], "DRIFTLESS_ADMIN_KEY_FILE", key)]
    {
        let done = output(&[arguments, &["--url", &url]].concat(), &[(variable, value)]).await;
        assert!(done.status.success(), "{done:?}");
        let both =
            output(&[arguments, &["--url", &url]].concat(), &[(variable, value), (variable.strip_suffix("_FILE").unwrap(), "x")]).await;
        assert!(both.status.code() == Some(2) && text(&both.stderr).contains("set only one of"), "{both:?}");
    }
    assert!(printed(&["client", "get", "d", "k", "--url", &url, "--token-file", of_alice]).await.starts_with('1'));
}

#[tokio::test]
async fn printed_commands_name_the_program_as_it_was_called() {
    let folder = TempDir::new().unwrap();
    let program = folder.path().join("sync-server");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_driftless"), &program).unwrap();
    let mut command = tokio::process::Command::new(&program);
    let unreachable = command.args(["client", "list", "--url", "http://127.0.0.1:9"]).output().await.unwrap();
    assert!(text(&unreachable.stderr).contains(&format!("start one with: {} dev", program.display())), "{unreachable:?}");
}

#[tokio::test]
async fn the_program_describes_itself() {
    let version = printed(&["--version"]).await;
    assert!(version.starts_with(&format!("driftless {}", env!("CARGO_PKG_VERSION"))), "{version}");
    assert!(["row format", "backup format", "driftless.v1"].iter().all(|format| version.contains(format)), "{version}");
    assert_eq!(printed(&["-V"]).await.lines().count(), 1);
    let help = printed(&["serve", "--help"]).await;
    assert!(
        help.contains("[env: DRIFTLESS_LISTEN] [default: 127.0.0.1:7400]") && help.contains("[env: DRIFTLESS_ADMIN_KEY_FILE]"),
        "{help}"
    );
    let help = output(&["serve", "--help"], &[("DRIFTLESS_ADMIN_KEY", "hunter2")]).await;
    assert!(help.status.success() && !text(&help.stdout).contains("hunter2"), "the value of a variable is no part of the help");
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]).await;
        assert!(script.contains("driftless") && script.contains("restore-version") && script.contains("store-cache-mib"), "{shell}");
    }
    let page = printed(&["man"]).await;
    assert!(page.contains(".TH driftless 1") && page.contains("merge\\-identities"), "{page}");
    let page = printed(&["man", "client", "put"]).await;
    assert!(page.contains(".TH driftless-client-put 1") && page.contains("\\-\\-base"), "{page}");
    let folder = TempDir::new().unwrap();
    printed(&["man", "--out", folder.path().join("man1").to_str().unwrap()]).await;
    assert!(!folder.path().join("man1/driftless-help.1").exists(), "a page about help would only say what man does");
    for name in ["driftless.1", "driftless-serve.1", "driftless-client-put.1"] {
        let page = folder.path().join("man1").join(name);
        assert_eq!(std::fs::metadata(page).unwrap().permissions().mode() & 0o777, 0o644, "{name}: everybody reads it");
    }
}

#[tokio::test]
async fn a_path_that_is_no_text_stands_in_json_as_it_is_shown() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join(std::ffi::OsStr::from_bytes(b"k\xff.pem"));
    let output =
        crate::support::wait_for("the end", crate::support::driftless().args(["vapid", "--json"]).arg(&file).output()).await.unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success() && file.exists() && json["file"].as_str().unwrap().ends_with("k\u{fffd}.pem"), "{json}");
}

#[tokio::test]
async fn a_key_that_is_put_twice_is_an_error_and_not_a_guess() {
    let output =
        crate::support::wait_for("the end", crate::support::driftless().args(["client", "put", "settings", "a=1", "a=2"]).output())
            .await
            .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && error.contains("a is named twice"), "{error}");
}
