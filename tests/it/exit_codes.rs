//! The exit codes of every command, and what a command says of a server that is no Driftless server.

use std::collections::BTreeSet;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::commands::{document_rows, output, production_config, text};
use crate::support::{TestServer, change, token};

/// The table of docs/commands.md: its codes are those that this test sees, and the other way round.
#[tokio::test]
async fn each_exit_code_has_one_meaning_for_every_command() {
    let (server, folder) = (TestServer::start().await, TempDir::new().unwrap());
    let mut phone = server.device("alice", "phone").await;
    phone.write("settings", &[change("put theme \"dark\"")]).await;
    let (url, config) = (server.url(), production_config(folder.path(), ""));
    let there = folder.path().join("there.backup");
    std::fs::write(&there, "something else").unwrap();
    let there = there.to_str().unwrap();
    let garbage = folder.path().join("garbage");
    std::fs::write(&garbage, "garbage").unwrap();
    let garbage = garbage.to_str().unwrap();
    let written = |name: &str, lines: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, lines).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let issuer = "[[pools.app.issuers]]\nissuer = \"i\"\naudience = [\"a\"]\njwks_url = \"https://127.0.0.1:9/keys\"\n";
    let (without_secret, same_port) = (written("keys.toml", issuer), written("port.toml", &format!("listen = \"0.0.0.0:7401\"\n{issuer}")));
    let pems = "tls = { certificate = \"/nonexistent.pem\", key = \"/nonexistent.pem\" }\n";
    let unreadable = written("tls.toml", &format!("{pems}{issuer}"));
    let identity = phone.welcome.identity.clone();
    let elsewhere = "http://127.0.0.1:9";
    let wrong = token("alice");
    let table: &[(u8, &[&str], &str)] = &[
        // 0: done.
        (0, &["client", "get", "settings", "theme", "--url", &url], ""),
        (0, &["history", "settings", "--subject", "alice", "--url", &url], ""),
        (0, &["config"], ""),
        (0, &["config", "check", &config], ""),
        // 1: it does not exist, or a file cannot be used.
        (1, &["identities", "list", "--pool", "nope", "--url", &url], "no such pool: nope; the server's pools: demo"),
        (1, &["identities", "--subject", "alice", "--pool", "nope", "--url", &url], "no such pool: nope; the server's pools: demo"),
        (1, &["devices", "--subject", "alice", "--pool", "nope", "--url", &url], "no such pool: nope; the server's pools: demo"),
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
        (1, &["client", "import", "settings", garbage, "--url", &url], "is not JSON that can be imported"),
        (1, &["client", "export", "settings", "/nonexistent/folder/file", "--url", &url], "/nonexistent/folder/file"),
        (1, &["client", "list", "--ca", "/nonexistent.pem", "--url", &url], "--ca /nonexistent.pem"),
        (1, &["client", "list", "--ca", garbage, "--url", &url], "contains no certificate"),
        (1, &["client", "list", "--token-file", "/nonexistent/token", "--url", &url], "/nonexistent/token"),
        (1, &["identities", "list", "--ca", "/nonexistent.pem", "--url", &url], "--ca /nonexistent.pem"),
        (1, &["identities", "list", "--ca", "/nonexistent.pem", "--url", "https://127.0.0.1:9"], "--ca /nonexistent.pem"),
        (1, &["identities", "list", "--ca", garbage, "--url", "https://127.0.0.1:9"], "contains no certificate"),
        (1, &["backup", "/nonexistent/folder/file", "--url", &url], "/nonexistent/folder/file"),
        (1, &["export-identity", "--subject", "alice", "--out", there, "--url", &url], "there.backup"),
        (1, &["vapid", there], "the file exists"),
        (1, &["vapid", "--public", "/nonexistent.pem"], "/nonexistent.pem"),
        (1, &["vapid", "--public", garbage], "garbage"),
        (1, &["merge-identities", "local:none", "local:other", "--url", &url], "no such identity"),
        (1, &["revoke-device", "--device", "none", "--subject", "alice", "--url", &url], "no such device"),
        (1, &["forget-device", "--device", "none", "--subject", "alice", "--url", &url], "no such device"),
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
        (2, &["token", "--subject", "ann", "--pool", "none"], "for pool none pass its configuration"),
        (2, &["token", "--subject", "ann", "--config", &config, "--pool", "none"], "configures no pool none; its pools: app"),
        (2, &["token", "--subject", "ann", "--config", &without_secret], "no issuer of pool app has a shared secret"),
        (2, &["token", "--subject", "ann", "--config", "/nonexistent.toml"], "/nonexistent.toml"),
        (2, &["restore", there, "--config", "/nonexistent.toml"], "/nonexistent.toml"),
        (2, &["identities", "list", "--url", "ftp://x"], "--url ftp://x"),
        (2, &["config", "check", &same_port], "has the same port"),
        (2, &["push", "resume", "--jsn"], "--json"),
        (2, &["serve", "--config", &unreadable], "line 1: tls.certificate: /nonexistent.pem"),
        (2, &["config", "check", &unreadable], "line 1: tls.certificate: /nonexistent.pem"),
        (2, &["serve", "--config", &config, "--data", &config], "no folder"),
        (2, &["identities", "list", "--after", "zzz", "--url", &url], "after must be the next of an earlier answer"),
        (2, &["identities", "list", "--limit", "0", "--url", &url], "--limit"),
        (2, &["history", "settings", "--subject", "alice", "--limit", "1001", "--url", &url], "--limit"),
        (2, &["token", "--subject", ""], "--subject"),
        (2, &["token", "--subject", "ann", "--expires-in-s", "0"], "--expires-in-s"),
        // 3: the server refused.
        (3, &["history", "settings", "--subject", "alice", "--key", &wrong, "--url", &url], "DRIFTLESS_ADMIN_KEY"),
        (3, &["merge-identities", &identity, &identity, "--url", &url], "cannot be merged into itself"),
        (3, &["client", "add", "settings", "theme=1", "--url", &url], "wrong_type"),
        // 4: another device wrote first.
        (4, &["client", "put", "settings", "theme=1", "--base", "0", "--device", "other", "--url", &url], "conflict"),
        // 5: no server, or no session.
        (5, &["client", "list", "--url", elsewhere], "is the server running"),
        (5, &["client", "list", "--token", "x", "--url", &url], "DRIFTLESS_TOKEN"),
        (5, &["identities", "list", "--url", elsewhere], "is the server running"),
        (5, &["identities", "list", "--json", "--url", elsewhere], "is the server running"),
        (5, &["client", "list", "--json", "--url", elsewhere], "is the server running"),
        (5, &["backup", "/nonexistent/folder/file", "--json", "--url", elsewhere], "is the server running"),
    ];
    let documented: BTreeSet<u8> = document_rows("Exit codes").filter_map(|row| row[0].parse().ok()).collect();
    assert_eq!(table.iter().map(|(code, ..)| *code).collect::<BTreeSet<u8>>(), documented);
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

/// Answers every request with the same response.
async fn foreign_server(response: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = socket.read(&mut [0; 4096]).await;
                let _ = socket.write_all(response.as_bytes()).await;
            });
        }
    });
    url
}

#[tokio::test]
async fn what_another_server_answers_is_neither_a_result_nor_a_missing_record() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    let file = file.to_str().unwrap();
    let device = ["--device", "phone", "local:a"];
    let commands = [
        &["history", "settings", "local:a"][..],
        &["show", "settings", "1", "local:a"],
        &["compare", "settings", "1", "2", "local:a"],
        &["restore-version", "settings", "1", "local:a"],
        &["identities", "--subject", "alice"],
        &["identities", "list", "--pool", "demo"],
        &["devices", "local:a"],
        &[&["push", "log"][..], &device].concat(),
        &[&["push", "test"][..], &device].concat(),
        &["push", "status"],
        &["push", "resume"],
        &[&["revoke-device"][..], &device].concat(),
        &[&["allow-device"][..], &device].concat(),
        &[&["forget-device"][..], &device].concat(),
        &["link-login", "local:a", "--issuer", "i", "--login", "l"],
        &["merge-identities", "local:a", "local:b"],
        &["erase-identity", "local:a", "--yes"],
        &["erase-identity", "local:a"],
        &["export-identity", "local:a"],
        &["export-identity", "local:a", "--out", file],
        &["backup", file],
        &["client", "list"],
        &["client", "get", "settings", "theme"],
    ];
    for response in [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 21\r\nConnection: close\r\n\r\n{\"error\":\"not found\"}",
        "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>",
        "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>",
    ] {
        let url = foreign_server(response).await;
        for (at, command) in commands.into_iter().enumerate() {
            let json: &[&str] = if at % 2 == 0 { &["--json"] } else { &[] };
            let said = output(&[command, json, &["--url", &url]].concat(), &[]).await;
            let stderr = text(&said.stderr);
            assert_eq!(said.status.code(), Some(5), "{command:?}: {response}: {stderr}");
            assert!(said.stdout.is_empty(), "{command:?}: {}", text(&said.stdout));
            assert!(
                ["is no Driftless server", "is it a driftless server?", "a proxy answered with the HTTP status"]
                    .iter()
                    .any(|said| stderr.contains(said)),
                "{command:?}: {stderr}"
            );
            assert!(!std::path::Path::new(file).exists(), "{command:?}");
        }
    }
    // A refusal of a Driftless server is one, though what was asked for is not there either.
    let refused = r#"{"type":"refused","code":"not_found","message":"see admin.listen"}"#;
    let refused = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{refused}", refused.len());
    let said = output(&["push", "status", "--url", &foreign_server(refused.leak()).await], &[]).await;
    assert!(said.status.code() == Some(3) && text(&said.stderr).contains("see admin.listen"), "{said:?}");
}

#[tokio::test]
async fn an_operators_command_takes_the_address_of_a_socket() {
    let server = TestServer::start().await;
    let address = server.url().replace("http://", "ws://");
    for url in [address.clone(), format!("{address}/v1/sync")] {
        for arguments in [&["push", "status"][..], &["client", "list"]] {
            let said = output(arguments, &[("DRIFTLESS_URL", &url)]).await;
            assert!(said.status.success(), "{url}: {}", text(&said.stderr));
        }
    }
}
