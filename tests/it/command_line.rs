//! What every command has in common: exit codes, JSON, names as called, variables, completions, manual pages, the version.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{TestServer, change, driftless, operator_output, token, wait_for};

async fn output(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = driftless();
    command.args(arguments).envs(variables.iter().copied());
    wait_for(arguments[0], command.output()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn printed(arguments: &[&str]) -> String {
    let output = output(arguments, &[]).await;
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A production configuration; `more` is added to it.
fn config(folder: &Path, more: &str) -> String {
    let issuer =
        "[[pools.app.issuers]]\nissuer = \"i\"\naudience = [\"a\"]\nsecret = \"a secret that only this test and its issuer know\"\n";
    let file = folder.join("driftless.toml");
    std::fs::write(&file, format!("{issuer}{more}")).unwrap();
    file.to_str().unwrap().to_owned()
}

/// The table of docs/commands.md.
#[tokio::test]
async fn each_exit_code_has_one_meaning_for_every_command() {
    let (server, folder) = (TestServer::start().await, TempDir::new().unwrap());
    let mut phone = server.device("alice", "phone").await;
    phone.write("settings", &[change("put theme \"dark\"")]).await;
    let (url, config) = (server.url(), config(folder.path(), ""));
    let there = folder.path().join("there.backup");
    std::fs::write(&there, "something else").unwrap();
    let there = there.to_str().unwrap();
    let elsewhere = "http://127.0.0.1:9";
    let wrong = token("alice");
    let table: &[(u8, &[&str], &str)] = &[
        // 0: done.
        (0, &["client", "get", "settings", "theme", "--url", &url], ""),
        (0, &["history", "settings", "--subject", "alice", "--url", &url], ""),
        (0, &["config"], ""),
        (0, &["config", "check", &config], ""),
        // 1: it does not exist, or a file cannot be used.
        (1, &["client", "get", "settings", "none", "--url", &url], "no record none"),
        (1, &["client", "import", "settings", "/nonexistent.json", "--url", &url], "/nonexistent.json"),
        (1, &["history", "none", "--subject", "alice", "--url", &url], "no such dataset"),
        (1, &["history", "settings", "--subject", "nobody", "--url", &url], "nobody has signed in"),
        (1, &["show", "settings", "9", "--subject", "alice", "--url", &url], "versions 0 to 1"),
        (1, &["devices", "local:none", "--url", &url], "no such identity"),
        (1, &["backup", there, "--url", &url], "--force"),
        (1, &["restore", there, "--data", "/nonexistent/folder"], "there.backup"),
        (1, &["identities", "--subject", "alice", "--key-file", "/nonexistent/key", "--url", &url], "/nonexistent/key"),
        (1, &["man", "nothing"], "no command nothing"),
        // 2: an argument, a variable or the configuration.
        (2, &["client", "get"], "Usage"),
        (2, &["nothing"], "unrecognized subcommand"),
        (2, &["client", "list", "--url", "ftp://x"], "--url ftp://x"),
        (2, &["history", "settings", "--url", &url], "--subject"),
        (2, &["erase-identity", "--subject", "alice", "--url", &url], "--yes"),
        (2, &["serve"], "--config FILE"),
        (2, &["serve", "--config", "/nonexistent.toml"], "/nonexistent.toml"),
        (2, &["config", "check", "/nonexistent.toml"], "/nonexistent.toml"),
        (2, &["dev", "--drain-s", "soon"], "--drain-s: drain_s must be a whole number"),
        // 3: the server refused.
        (3, &["history", "settings", "--subject", "alice", "--key", &wrong, "--url", &url], "DRIFTLESS_ADMIN_KEY"),
        // 4: another device wrote first.
        (4, &["client", "put", "settings", "theme=1", "--base", "0", "--device", "other", "--url", &url], "conflict"),
        // 5: no server, or no session.
        (5, &["client", "list", "--url", elsewhere], "is the server running"),
        (5, &["client", "list", "--token", "x", "--url", &url], "DRIFTLESS_TOKEN"),
        (5, &["identities", "list", "--url", elsewhere], "is the server running"),
    ];
    for (code, arguments, says) in table {
        let output = output(arguments, &[]).await;
        assert_eq!(output.status.code(), Some(i32::from(*code)), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(says), "{arguments:?}: {}", text(&output.stderr));
    }
    // A variable of each group of commands that nobody reads.
    for arguments in
        [&["client", "list", "--url", &url][..], &["identities", "list", "--url", &url], &["dev"], &["config", "check", &config]]
    {
        let output = output(arguments, &[("DRIFTLESS_URLS", "x")]).await;
        assert!(
            output.status.code() == Some(2) && text(&output.stderr).contains("did you mean DRIFTLESS_URL?"),
            "{arguments:?}: {output:?}"
        );
    }
    let of_kubernetes = [("DRIFTLESS_PORT", "tcp://10.0.0.1:7400"), ("DRIFTLESS_SERVICE_HOST", "10.0.0.1")];
    assert!(output(&["client", "list", "--url", &url], &of_kubernetes).await.status.success());
}

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
        "4 errors in the configuration",
        "line 8: pools.app.issuers, issuer \"j\": keys_file cannot be read: /nonexistent.json",
        "line 12: pools.app.issuers, issuer \"k\": keys_file cannot be used",
        "line 13: pools.app.push: ",
        "line 19: tls: /nonexistent.pem",
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

/// What the admin API sends is what a command prints, so its shapes are tested there; here that each command has one.
#[tokio::test]
async fn every_command_that_prints_data_prints_it_as_json() {
    let (server, folder) = (TestServer::start().await, TempDir::new().unwrap());
    let (mut phone, mut guest) = (server.device("alice", "phone").await, server.device("guest", "tablet").await);
    phone.write("settings", &[change("put n 2.5")]).await;
    phone.write("settings", &[change("put n 2")]).await;
    guest.put("drafts", "k", "1").await;
    let (url, identity, other) = (server.url(), phone.welcome.identity.clone(), guest.welcome.identity.clone());
    let backup = folder.path().join("a.backup");
    let (backup, restored) = (backup.to_str().unwrap(), folder.path().join("restored"));
    let restored = restored.to_str().unwrap().to_owned();
    let json = async |arguments: &[&str]| {
        let text = operator_output(&url, &[arguments, &["--json"]].concat()).await;
        serde_json::from_str::<Value>(&text).unwrap_or_else(|why| panic!("{arguments:?}: {why}: {text}"))
    };
    let alice = ["--subject", "alice"];
    let with = |arguments: &[&'static str]| [arguments, &alice].concat();
    assert_eq!(json(&with(&["history", "settings"])).await["versions"].as_array().unwrap().len(), 2);
    assert_eq!(json(&with(&["show", "settings", "1"])).await["records"][0]["key"], "n");
    assert_eq!(json(&with(&["compare", "settings", "1", "2"])).await["differences"][0]["key"], "n");
    assert_eq!(json(&with(&["restore-version", "settings", "1"])).await["version"], 3);
    assert_eq!(json(&with(&["devices"])).await["devices"][0]["device"], "phone");
    assert_eq!(json(&with(&["push", "log", "--device", "phone"])).await["device"]["device"], "phone");
    assert!(json(&["push", "status"]).await["stopped"].is_array());
    assert!(json(&["push", "resume"]).await["resumed"].is_array());
    assert_eq!(json(&with(&["revoke-device", "--device", "phone"])).await["revoked"], true);
    assert_eq!(json(&with(&["allow-device", "--device", "phone"])).await["revoked"], false);
    assert_eq!(json(&with(&["identities"])).await["identities"][0]["datasets"][0]["dataset"], "settings");
    assert_eq!(json(&["link-login", &identity, "--issuer", "i", "--login", "l"]).await["identity"], *identity);
    assert_eq!(json(&["backup", backup]).await["file"], *backup);
    assert_eq!(json(&["merge-identities", &other, &identity]).await["datasets"], 1);
    assert_eq!(json(&["export-identity", &identity, "--out", folder.path().join("e").to_str().unwrap()]).await["identity"], *identity);
    assert_eq!(json(&["erase-identity", &identity, "--yes"]).await["erased"], *identity);
    let output = printed(&["restore", backup, "--data", &restored, "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&output).unwrap()["folder"], *restored);
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
    for name in ["driftless.1", "driftless-serve.1", "driftless-client-put.1"] {
        let page = folder.path().join("man1").join(name);
        assert_eq!(std::fs::metadata(page).unwrap().permissions().mode() & 0o777, 0o644, "{name}: everybody reads it");
    }
}
