//! The operator commands of the real binary.

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{TestServer, change, operator_command, operator_output, token};

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn history_is_a_table_and_a_version_can_be_shown_compared_and_restored() {
    let server = TestServer::start().await;
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    phone.write("settings", &[change("put theme \"dark\""), change("put old 1")]).await;
    laptop.write("settings", &[change("put theme \"light\\u001b[2J\""), change("remove old")]).await;
    let url = server.url();
    let alice = ["--subject", "alice"];
    let table = operator_output(&url, &[&["history", "settings"][..], &alice].concat()).await;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["version", "when", "(UTC)", "device", "origin", "keys"]);
    assert_eq!((lines[1][0], &lines[1][3..]), ("2", &["laptop", "write", "theme,", "-old"][..]));
    assert_eq!((lines[2][0], &lines[2][3..]), ("1", &["phone", "write", "theme,", "old"][..]));
    assert!(lines[1][1].starts_with("20") && lines[1][2].len() == 8, "{table}");

    let by_id = operator_output(&url, &["history", "settings", &phone.welcome.identity, "--limit", "1"]).await;
    assert_eq!(by_id.lines().count(), 2);
    let shown = operator_output(&url, &[&["show", "settings", "1"][..], &alice].concat()).await;
    assert!(shown.contains("theme = \"dark\"   version 1   from phone"), "{shown}");
    let compared = operator_output(&url, &[&["compare", "settings", "1", "2"][..], &alice].concat()).await;
    assert!(compared.contains("- theme = \"dark\"") && compared.contains("+ theme = \"light\\u001b[2J\""), "{compared}");
    assert!(compared.contains("- old = 1") && !compared.contains('\x1b'), "{compared}");
    let restored = operator_output(&url, &[&["restore-version", "settings", "1"][..], &alice].concat()).await;
    assert!(restored.contains("2 records changed, as version 3"), "{restored}");
    let again = operator_output(&url, &[&["restore-version", "settings", "1"][..], &alice].concat()).await;
    assert!(again.contains("nothing was changed"), "{again}");
    let table = operator_output(&url, &[&["history", "settings"][..], &alice].concat()).await;
    assert!(table.contains("~operator") && table.contains("restored to 1"), "{table}");
}

#[tokio::test]
async fn accounts_are_found_exported_linked_merged_and_erased() {
    let (server, folder) = (TestServer::start().await, TempDir::new().unwrap());
    let (mut user, mut guest) = (server.device("user", "laptop").await, server.device("guest", "phone").await);
    user.put("notes", "k", "\"users\"").await;
    guest.put("drafts", "k", "\"guests\"").await;
    let (url, into, from) = (server.url(), user.welcome.identity.clone(), guest.welcome.identity.clone());
    let found = operator_output(&url, &["identities", "--subject", "user"]).await;
    assert!(found.contains(&into) && found.contains("driftless-dev") && found.contains("notes"), "{found}");
    let merged = operator_output(&url, &["merge-identities", &from, &into]).await;
    assert!(merged.contains("1 dataset merged"), "{merged}");
    let found = operator_output(&url, &["identities", "--subject", "guest"]).await;
    assert!(found.contains(&into) && found.contains(&format!("{from} was merged into it")) && found.contains("drafts"), "{found}");
    let linked = operator_output(&url, &["link-login", &into, "--issuer", "https://accounts.test", "--login", "u-1"]).await;
    assert!(linked.contains("leads to"), "{linked}");

    let file = folder.path().join("user.json");
    let out = file.to_str().unwrap();
    operator_output(&url, &["export-identity", "--subject", "user", "--out", out]).await;
    let document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(document["logins"].as_array().unwrap().len(), 3);
    let printed: Value = serde_json::from_str(&operator_output(&url, &["export-identity", &into]).await).unwrap();
    assert_eq!(printed["records"], document["records"]);
    assert!(
        stderr(&operator_command(&url, &["export-identity", &into, "--out", out]).await).contains("user.json"),
        "the file is not overwritten"
    );

    let asked = operator_command(&url, &["erase-identity", "--subject", "user"]).await;
    assert_eq!(asked.status.code(), Some(2), "{asked:?}");
    assert!(String::from_utf8_lossy(&asked.stdout).contains("2 datasets") && stderr(&asked).contains("nothing was erased"), "{asked:?}");
    assert!(stderr(&asked).contains(&format!(" erase-identity {into} --yes")), "{asked:?}");
    user.put("notes", "k", "2").await;
    let erased = operator_output(&url, &["erase-identity", "--subject", "user", "--yes"]).await;
    assert!(erased.contains("is erased") && erased.contains("backups"), "{erased}");
    let gone = operator_command(&url, &["history", "notes", &into]).await;
    assert!(gone.status.code() == Some(1) && stderr(&gone).contains("no such identity"), "{gone:?}");
}

#[tokio::test]
async fn a_failing_command_says_what_to_do() {
    let (server, folder) = (TestServer::start().await, TempDir::new().unwrap());
    server.device("alice", "phone").await.put("d", "k", "1").await;
    let url = server.url();
    let key = token("alice");
    for (arguments, code, says) in [
        (&["identities", "--subject", "alice", "--key", &key][..], 3, "DRIFTLESS_ADMIN_KEY"),
        (&["identities", "--subject", "alice", "--key", "no\nkey"], 2, "admin.key"),
        (&["identities", "--subject", "nobody"], 1, "--pool"),
        (&["history", "d", "--subject", "nobody"], 1, "nobody has signed in"),
        (&["history", "none", "--subject", "alice"], 1, "no such dataset"),
        (&["show", "d", "9", "--subject", "alice"], 1, "versions 0 to 1"),
        (&["history", "d"], 2, "--subject"),
    ] {
        let output = operator_command(&url, arguments).await;
        assert!(output.status.code() == Some(code) && stderr(&output).contains(says), "{arguments:?}: {output:?}");
        assert!(!stderr(&output).contains(&key));
    }
    let output = operator_command("http://127.0.0.1:9", &["identities", "--subject", "alice"]).await;
    assert!(output.status.code() == Some(5) && stderr(&output).contains("is the server running"), "{output:?}");
    let output = operator_command("ftp://x", &["identities", "--subject", "alice"]).await;
    assert!(output.status.code() == Some(2) && stderr(&output).contains("--url ftp://x"), "{output:?}");

    let file = folder.path().join("there.backup");
    std::fs::write(&file, "an existing file").unwrap();
    let output = operator_command(&url, &["backup", file.to_str().unwrap()]).await;
    assert!(output.status.code() == Some(1) && stderr(&output).contains("--force"), "{output:?}");
    assert_eq!(std::fs::read(&file).unwrap(), b"an existing file");
    operator_output(&url, &["backup", file.to_str().unwrap(), "--force"]).await;
    assert!(std::fs::read(&file).unwrap().starts_with(b"driftless backup 1\n"));
}
