//! The commands of the README and of `docs/` do what the documents say: each is run as it is written, in the order of its page.
//!
//! `driftless` and `cargo run --release --` are this build. What only a reader can know (a file's place, an id, an address) is filled in from
//! one table; a line that needs more than this machine is named in another one, with where it is tested.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{DeviceHttp, DriftlessProcess, raw_request, token, wait_for};

/// Lines that are not run here, and what tries them.
const ELSEWHERE: [(&str, &str); 7] = [
    ("cargo run --release -- dev", "the server of these tests is started by it"),
    ("cargo build --profile dist", "tests/run builds the other profiles"),
    ("cargo run --release -- client watch", "it never ends; preferences::watch"),
    ("driftless serve --config driftless.toml", "the_configuration_of_the_readme_starts_a_server"),
    ("export DRIFTLESS_ADMIN_KEY", "the key and address of these tests are set in the environment"),
    ("driftless client --url https://www.example.com/sync", "proxies"),
    ("driftless identities --url https://www.example.com/sync-admin/", "proxies"),
];

const PAGES: [(&str, &str); 4] = [
    ("README.md", include_str!("../../README.md")),
    ("docs/commands.md", include_str!("../../docs/commands.md")),
    ("docs/operating.md", include_str!("../../docs/operating.md")),
    ("docs/proxies.md", include_str!("../../docs/proxies.md")),
];

/// The lines of a page's blocks for a shell.
fn commands(page: &str) -> Vec<&str> {
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).filter(|line| !line.is_empty()).collect()
}

/// A folder with the programs that the documents name.
fn programs(folder: &Path) -> PathBuf {
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_driftless"), bin.join("driftless")).unwrap();
    let cargo = "#!/bin/sh\n[ \"$1 $2 $3\" = 'run --release --' ] || exit 99\nshift 3\nexec driftless \"$@\"\n";
    std::fs::write(bin.join("cargo"), cargo).unwrap();
    std::fs::set_permissions(bin.join("cargo"), std::fs::Permissions::from_mode(0o755)).unwrap();
    bin
}

/// What alice and others have on the server before the commands run, and the ids that the documents leave out.
async fn prepare(address: SocketAddr) -> Vec<(&'static str, String)> {
    let phone = DeviceHttp::new(address, &token("alice"), "phone-1");
    for version in 1..=57 {
        let change = format!("{{\"id\":{version},\"changes\":[{{\"key\":\"volume\",\"op\":\"put\",\"value\":{version}}}]}}");
        assert_eq!(phone.post("/v1/datasets/settings/write", &change).await.status, 200);
    }
    let request = format!("GET /demo/push?device=phone-1 HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut registration = raw_request(address, request.as_bytes()).await.json();
    registration.as_object_mut().unwrap().remove("wake_after_ms");
    assert_eq!(phone.put("/v1/push", &registration.to_string()).await.status, 200);
    let mut ids = Vec::new();
    for (person, name) in [("bob", "local:1c2d..."), ("guest", "local:GUEST"), ("user", "local:USER")] {
        let answer = DeviceHttp::new(address, &token(person), "phone").get("/v1/session").await;
        ids.push((name, answer.header("driftless-identity").unwrap().to_owned()));
    }
    ids
}

#[tokio::test]
async fn every_command_of_the_documents_runs_as_it_is_written() {
    let folder = TempDir::new().unwrap();
    let server = DriftlessProcess::start(&folder.path().join("store"), "127.0.0.1:0", &[]).await;
    let ids = prepare(server.address().parse().unwrap()).await;
    let bin = programs(folder.path());
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let shell = |line: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-euc", line]).current_dir(&folder).env("PATH", &path).env("DRIFTLESS_URL", &server.url).kill_on_drop(true);
        shell
    };
    let listed = shell("driftless identities list --limit 1 --json").output().await.unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    for name in ["etc", "completions", "man"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let here = folder.path().display();
    let filled_in = [
        ("/etc/driftless", format!("{here}/etc")),
        ("/var/lib/driftless-new", format!("{here}/new")),
        ("/usr/share/bash-completion/completions", format!("{here}/completions")),
        ("/usr/share/man/man1", format!("{here}/man")),
        ("man -l -", "cat".to_owned()),
        ("https://accounts.example.com", driftless::dev::ISSUER.to_owned()),
        ("CURSOR", format!("'{}'", listed["next"].as_str().unwrap())),
    ];
    let mut count = 0;
    for (page, line) in PAGES.iter().flat_map(|(name, page)| commands(page).into_iter().map(move |line| (name, line))) {
        if ELSEWHERE.iter().any(|(start, _)| line.starts_with(start)) {
            continue;
        }
        let command = ids.iter().chain(&filled_in).fold(line.to_owned(), |command, (name, value)| command.replace(name, value));
        let output = wait_for(line, shell(&command).output()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // Without --yes an erasure says what it would do, and that it was not done.
        let is_done = !line.starts_with("driftless erase-identity") || line.ends_with("--yes");
        assert!(output.status.success() == is_done, "{page}: {line}\n{command}\n{}{said}", String::from_utf8_lossy(&output.stdout));
        assert!(!said.contains("panicked"), "{page}: {line}: {said}");
        if line.starts_with("driftless config >") {
            // The reader names a pool in it before it is checked.
            let config = folder.path().join("driftless.toml");
            let pool =
                "\n[[pools.app.issuers]]\nissuer = \"i\"\naudience = [\"a\"]\nsecret = \"a secret that only this test knows, for sure\"\n";
            let printed = std::fs::read_to_string(&config).unwrap();
            std::fs::write(&config, printed + pool).unwrap();
        }
        // A file of one page must not stand in the way of the next page's.
        for file in ["alice.json", "monday.backup"] {
            if line.contains("restore ") || (line.contains(file) && line.contains("export-identity")) {
                let _ = std::fs::remove_file(folder.path().join(file));
            }
        }
        count += 1;
    }
    assert!(count >= 25, "only {count} commands were found");
}

/// A command in a sentence has the words and flags of a real one: asked for its help, it gives it.
#[tokio::test]
async fn every_command_in_a_sentence_of_the_documents_exists() {
    let more =
        [("CONTRIBUTING.md", include_str!("../../CONTRIBUTING.md")), ("loadtest/README.md", include_str!("../../loadtest/README.md"))];
    let mut tried = std::collections::BTreeSet::new();
    for (name, page) in PAGES.into_iter().chain(more) {
        // The blocks of a page are run by the test above.
        let prose: String = page.split("```").step_by(2).collect();
        for code in prose.split('`').skip(1).step_by(2) {
            let command = code.strip_prefix("driftless ").or_else(|| code.strip_prefix("cargo run --release -- "));
            let Some(command) = command.and_then(|command| command.split(['|', '>', '\\', '\n']).next()) else { continue };
            // A word in capitals alone stands for any command, and three dots for what is left out.
            let words: Vec<&str> = command.split_whitespace().take_while(|word| !word.contains("...") && *word != "COMMAND").collect();
            if words.is_empty() || !tried.insert(command.to_owned()) {
                continue;
            }
            let asked = wait_for(command, crate::support::driftless().args(&words).arg("--help").output()).await.unwrap();
            assert!(asked.status.success(), "{name}: `{code}`: {}", String::from_utf8_lossy(&asked.stderr));
        }
    }
    assert!(tried.len() >= 15, "only {} commands were found: {tried:?}", tried.len());
}

#[tokio::test]
async fn the_configuration_of_the_readme_starts_a_server() {
    let folder = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("certificate.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let block = PAGES[0].1.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let here = folder.path().display().to_string();
    let config = block
        .replace("0.0.0.0:7400", "127.0.0.1:0")
        .replace("/var/lib/driftless", &format!("{here}/data"))
        .replace("/etc/driftless", &here)
        // Port 9 of this machine answers nothing, as the issuer of a reader who only tries it.
        .replace("accounts.example.com/", "127.0.0.1:9/");
    std::fs::write(folder.path().join("driftless.toml"), config).unwrap();
    let server = DriftlessProcess::serve(&folder.path().join("driftless.toml")).await;
    server.terminate().await;
}
