//! The JSON that commands print, compared member by member with the shapes of docs/commands.md.

use std::collections::{BTreeMap, BTreeSet};

use driftless_protocol::Registration;
use driftless_standin::{ScriptedResponse, StandInGateway};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::aws::AwsClient;
use crate::support::commands::{document_rows, output, production_config, text};
use crate::support::push::{apns, register_offline, register_offline_with, registration, start_server};
use crate::support::{TestServer, change, name, wait_for};

/// What JSON looks like, as docs/commands.md writes it.
#[derive(Clone, Debug)]
enum JsonShape {
    /// A kind of value, or a shape that another table of the page names.
    Word(String),
    Nullable(Box<JsonShape>),
    List(Box<JsonShape>),
    /// The members by name, each with whether it is there only sometimes.
    Object(BTreeMap<String, (bool, JsonShape)>),
}

impl JsonShape {
    fn parse(text: &str) -> JsonShape {
        let mut rest = text;
        let shape = JsonShape::read(&mut rest);
        assert_eq!(rest, "", "the rest of {text}");
        shape
    }

    fn read(rest: &mut &str) -> JsonShape {
        if take(rest, "null?") {
            return JsonShape::Nullable(Box::new(JsonShape::read(rest)));
        }
        if take(rest, "[") {
            let entry = JsonShape::read(rest);
            assert!(take(rest, "]"), "] before {rest}");
            return JsonShape::List(Box::new(entry));
        }
        if !take(rest, "{") {
            let end = rest.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            assert!(!word.is_empty(), "a shape before {rest}");
            *rest = after.trim_start();
            return JsonShape::Word(word.to_owned());
        }
        let mut members = BTreeMap::new();
        loop {
            assert!(take(rest, "\""), "a name before {rest}");
            let (name, after) = rest.split_once('"').unwrap();
            *rest = after;
            let is_optional = take(rest, "?");
            let shape = if take(rest, ":") { JsonShape::read(rest) } else { JsonShape::Word("TEXT".to_owned()) };
            members.insert(name.to_owned(), (is_optional, shape));
            if !take(rest, ",") {
                assert!(take(rest, "}"), "}} before {rest}");
                return JsonShape::Object(members);
            }
        }
    }

    /// The first place where a document has not this shape. `at` is the path of this shape in the page; the paths of all that occurs are
    /// added to `seen`.
    fn difference(&self, at: &str, value: &Value, page: &mut DocumentedShapes) -> Option<String> {
        page.seen.insert(at.to_owned());
        match (self, value) {
            (JsonShape::Nullable(_), Value::Null) => None,
            (JsonShape::Nullable(shape), value) => shape.difference(&format!("{at}?"), value, page),
            (JsonShape::Word(word), value) if is_of_kind(word, value) => None,
            (JsonShape::Word(word), value) => {
                let Some(shape) = page.words.get(word).cloned() else { return Some(format!(" is {value}, not {word}")) };
                shape.difference(word, value, page)
            }
            (JsonShape::List(shape), Value::Array(entries)) => {
                let place = format!("{at}[]");
                let mut one = |(n, entry)| Some(format!("[{n}]{}", shape.difference(&place, entry, page)?));
                entries.iter().enumerate().find_map(&mut one)
            }
            (JsonShape::Object(shapes), Value::Object(members)) => {
                let unknown = members.keys().find(|name| !shapes.contains_key(*name)).map(|name| format!(".{name} is not documented"));
                let mut one = |(name, (is_optional, shape)): (&String, &(bool, JsonShape))| match members.get(name) {
                    Some(member) => Some(format!(".{name}{}", shape.difference(&format!("{at}.{name}"), member, page)?)),
                    None => (!is_optional).then(|| format!(".{name} is missing")),
                };
                unknown.or_else(|| shapes.iter().find_map(&mut one))
            }
            (shape, value) => Some(format!(" is {value}, not {shape:?}")),
        }
    }

    /// The paths of this shape and all in it, without those of words.
    fn paths(&self, at: &str) -> Vec<String> {
        let inner = match self {
            JsonShape::Word(_) => Vec::new(),
            JsonShape::Nullable(shape) => shape.paths(&format!("{at}?")),
            JsonShape::List(shape) => shape.paths(&format!("{at}[]")),
            JsonShape::Object(members) => members.iter().flat_map(|(name, (_, shape))| shape.paths(&format!("{at}.{name}"))).collect(),
        };
        [vec![at.to_owned()], inner].concat()
    }
}

fn is_of_kind(word: &str, value: &Value) -> bool {
    match word {
        "TEXT" => value.is_string(),
        "NUMBER" => value.is_u64(),
        "BOOL" => value.is_boolean(),
        "JSON" => true,
        _ => false,
    }
}

fn take(rest: &mut &str, token: &str) -> bool {
    let Some(after) = rest.strip_prefix(token) else { return false };
    *rest = after.trim_start();
    true
}

/// The shapes of the page: those of commands, and those of its words.
struct DocumentedShapes {
    commands: BTreeMap<String, JsonShape>,
    words: BTreeMap<String, JsonShape>,
    /// The paths of what occurred: a command or a word, then members, `[]` for an entry of a list, `?` for what is not null.
    seen: BTreeSet<String>,
}

impl DocumentedShapes {
    fn read() -> DocumentedShapes {
        let page = include_str!("../../docs/commands.md");
        let section = page.split("\n## ").find(|section| section.starts_with("JSON")).unwrap();
        let code = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let shape = |cell: &str| JsonShape::parse(&code(cell)[0]);
        let words = document_rows("JSON").map(|row| (row[0].to_owned(), shape(row[1]))).collect();
        let rows = section.lines().skip_while(|line| !line.starts_with("| command |")).skip(2).take_while(|line| line.starts_with('|'));
        let row = |line: &'static str| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
            let shape = shape(cells[1]);
            code(cells[0]).into_iter().map(move |command| (command, shape.clone()))
        };
        DocumentedShapes { commands: rows.flat_map(row).collect(), words, seen: BTreeSet::new() }
    }

    /// Compares every line that a command printed.
    fn compare(&mut self, command: &str, printed: &str) -> Value {
        let shape = self.commands.get(command).unwrap_or_else(|| panic!("docs/commands.md has no {command}")).clone();
        let mut last = Value::Null;
        for line in printed.lines() {
            last = serde_json::from_str(line).unwrap_or_else(|why| panic!("{command}: {why}: {line}"));
            if let Some(difference) = shape.difference(command, &last, self) {
                panic!("{command}{difference}: {line}");
            }
        }
        assert!(!last.is_null(), "{command} printed nothing");
        last
    }
}

/// A command of the page, with the arguments that make it one.
struct DocumentedCommand<'a> {
    name: &'a str,
    arguments: &'a [&'a str],
    code: i32,
}

fn of<'a>(name: &'a str, arguments: &'a [&'a str]) -> DocumentedCommand<'a> {
    DocumentedCommand { name, arguments, code: 0 }
}

impl DocumentedShapes {
    async fn run(&mut self, url: Option<&str>, command: DocumentedCommand<'_>) -> Value {
        let DocumentedCommand { name, arguments, code } = command;
        let words: Vec<&str> = name.split(' ').filter(|word| !word.chars().all(|c| c.is_ascii_uppercase())).collect();
        let words = words.into_iter().take_while(|word| !word.starts_with("--"));
        let url: Vec<&str> = url.map_or(Vec::new(), |url| vec!["--url", url]);
        let all: Vec<&str> = words.chain(arguments.iter().copied()).chain(["--json"]).chain(url).collect();
        let done = output(&all, &[]).await;
        assert_eq!(done.status.code(), Some(code), "{all:?}: {}", text(&done.stderr));
        self.compare(name, &text(&done.stdout))
    }
}

/// What `watch` prints, which never ends by itself: a record that is there, then one that a laptop removes.
async fn watched(server: &TestServer) -> String {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let mut command = crate::support::driftless();
    command.args(["client", "watch", "settings", "--json", "--url", &server.url()]).stdout(std::process::Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = wait_for("a line", lines.next_line()).await.unwrap().unwrap();
    server.device("alice", "laptop").await.write("settings", &[change("put new 1"), change("remove new")]).await;
    let second = wait_for("a line", lines.next_line()).await.unwrap().unwrap();
    format!("{first}\n{second}")
}

/// A phone that was woken once, and whose app the gateway then refused; a laptop that wrote.
async fn server_with_wakes(gateway: &StandInGateway) -> TestServer {
    let server = start_server(gateway).await;
    let target = apns(gateway);
    let address = target.address().to_owned();
    register_offline(&server, "alice", "phone", target).await;
    let mut laptop = server.device("alice", "laptop").await;
    laptop.write("settings", &[change("put n 2.5"), change("put old 1")]).await;
    wait_for("a wake", gateway.wait_for_pushes(&address, 1)).await;
    laptop.write("settings", &[change("put n 2"), change("remove old")]).await;
    let mut guest = server.device("guest", "tablet").await;
    guest.put("settings", "n", "7").await;
    server
}

#[tokio::test]
async fn every_command_prints_the_json_that_its_page_describes() {
    let gateway = StandInGateway::start().await.unwrap();
    let (server, folder) = (server_with_wakes(&gateway).await, TempDir::new().unwrap());
    let (url, operator) = (server.url(), server.operator());
    let (identity, guest) = (operator.identity("alice").await, operator.identity("guest").await);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (backup, restored, export, key) = (path("a.backup"), path("restored"), path("export.json"), path("vapid.pem"));
    let (identity_file, config) = (path("alice.json"), production_config(folder.path(), ""));
    let at = Some(url.as_str());
    let alice = ["--subject", "alice"];
    let with = |arguments: &[&'static str]| [arguments, &alice].concat();
    let phone = with(&["--device", "phone"]);
    let mut pages = DocumentedShapes::read();
    pages.run(at, of("client put", &["d", "k=[1]"])).await;
    pages.run(at, of("client add", &["d", "visits=2"])).await;
    pages.run(at, of("client get", &["d", "k"])).await;
    pages.run(at, of("client list", &[])).await;
    pages.run(at, of("client list DATASET", &["d"])).await;
    pages.compare("client watch", &watched(&server).await);
    pages.run(at, of("client export", &["d", &export])).await;
    pages.run(at, of("client import", &["d", &export])).await;
    pages.run(at, of("client remove", &["d", "k"])).await;
    let history = pages.run(at, of("history", &with(&["settings"]))).await;
    assert_eq!(history["versions"][1]["touched"][1], serde_json::json!({ "key": "old", "live": false }));
    pages.run(at, of("show", &with(&["settings", "1"]))).await;
    let compared = pages.run(at, of("compare", &with(&["settings", "1", "2"]))).await;
    assert_eq!(compared["differences"].as_array().unwrap().len(), 2);
    pages.run(at, of("restore-version", &with(&["settings", "1"]))).await;
    let found = pages.run(at, of("identities --subject", &alice)).await;
    assert!(!found["identities"][0]["datasets"].as_array().unwrap().is_empty(), "{found}");
    pages.run(at, of("identities list", &["--limit", "1"])).await;
    let made = pages.run(at, of("access init", &["--account", "test"])).await;
    let account = made["account"].as_str().unwrap();
    let second = pages.run(at, of("access rotate", &[account])).await;
    let of_key = [account, second["access_key_id"].as_str().unwrap()];
    pages.run(at, of("access accounts", &[])).await;
    pages.run(at, of("access keys", &[account])).await;
    pages.run(at, of("access explain", &[account, "root", "iam:ListUsers", "*"])).await;
    let (id, secret) = (second["access_key_id"].as_str().unwrap(), second["secret_access_key"].as_str().unwrap());
    let iam =
        AwsClient { address: server.address(), key: id.to_owned(), secret: secret.to_owned(), service: "iam", ahead_s: 0, token: None };
    let allow = r#"{"Version":"2012-10-17","Statement":{"Sid":"own","Effect":"Allow","Action":"iam:GetUser","Resource":"*"}}"#;
    assert_eq!(iam.form("CreateUser", &[("UserName", "ann")]).await.status, 200);
    let put = [("UserName", "ann"), ("PolicyName", "p"), ("PolicyDocument", allow)];
    assert_eq!(iam.form("PutUserPolicy", &put).await.status, 200);
    let explained = pages.run(at, of("access explain", &[account, "user/ann", "iam:GetUser", "*"])).await;
    assert_eq!((&explained["allowed"], &explained["policy"], &explained["statement"]), (&true.into(), &"p".into(), &"own".into()));
    let denied = pages.run(at, of("access explain", &[account, "user/ann", "iam:DeleteUser", "*"])).await;
    assert_eq!((&denied["allowed"], &denied["policy"]), (&false.into(), &Value::Null));
    pages.run(at, of("access disable", &of_key)).await;
    pages.run(at, of("access enable", &of_key)).await;
    pages.run(at, of("access delete-key", &of_key)).await;
    let pools = pages.run(at, of("pools", &[])).await;
    assert!(pools["pools"][0]["id"].as_str().is_some_and(|id| id.starts_with("local:")), "{pools}");
    let devices = pages.run(at, of("devices", &alice)).await;
    assert!(devices["devices"].as_array().unwrap().iter().any(|device| device["push"].is_object()), "{devices}");
    let log = pages.run(at, of("push log", &phone)).await;
    assert!(!log["log"].as_array().unwrap().is_empty(), "{log}");
    pages.run(at, of("push test", &phone)).await;
    // One app was removed from its device; the gateway does not answer the push to another.
    for (device, response) in [("removed", ScriptedResponse::unregistered(u64::MAX / 2)), ("slow", ScriptedResponse::Hang.always())] {
        let target = apns(&gateway);
        gateway.script(target.address(), [response]);
        let of_settings = Registration { datasets: Some(vec![name("settings")]), ..registration(target) };
        register_offline_with(&server, "alice", device, of_settings).await;
    }
    server.device("alice", "laptop").await.put("settings", "n", "4").await;
    wait_for("a dead token and a push on its way", async {
        loop {
            let devices = pages.run(at, of("devices", &alice)).await;
            let devices = devices["devices"].as_array().unwrap();
            let are = [|device: &Value| device["push"]["dead"].is_object(), |device: &Value| device["wake"]["state"] == "due"];
            if are.iter().all(|is| devices.iter().any(is)) {
                return;
            }
        }
    })
    .await;
    // The gateway refuses the credential, so the app is stopped.
    let target = apns(&gateway);
    gateway.script(target.address(), [ScriptedResponse::apns(403, "InvalidProviderToken").always()]);
    register_offline(&server, "alice", "pad", target).await;
    pages.run(at, DocumentedCommand { code: 1, ..of("push test", &with(&["--device", "pad"])) }).await;
    server.device("alice", "laptop").await.put("settings", "n", "3").await;
    let stopped = wait_for("a stopped app", async {
        loop {
            let stopped = pages.run(at, of("push status", &[])).await;
            if stopped["stopped"].as_array().is_some_and(|apps| !apps.is_empty()) {
                return stopped;
            }
        }
    })
    .await;
    assert_eq!(stopped["stopped"][0]["provider"], "apns");
    pages.run(at, of("push resume", &[])).await;
    pages.run(at, of("revoke-device", &[&phone[..], &["--refuse-tokens"]].concat())).await;
    pages.run(at, of("devices", &alice)).await;
    pages.run(at, of("allow-device", &phone)).await;
    pages.run(at, of("forget-device", &phone)).await;
    pages.run(at, of("link-login", &[&identity, "--issuer", "i", "--login", "l"])).await;
    pages.run(at, of("backup", &[&backup])).await;
    pages.run(at, of("merge-identities", &[&guest, &identity])).await;
    pages.run(at, of("history", &with(&["settings"]))).await;
    pages.run(at, of("identities --subject", &alice)).await;
    pages.run(at, of("export-identity --out", &[&identity, "--out", &identity_file])).await;
    let asked = pages.run(at, DocumentedCommand { code: 2, ..of("erase-identity", &[&identity]) }).await;
    assert_eq!(asked["merged"][0], *guest);
    pages.run(at, of("erase-identity --yes", &[&identity, "--yes"])).await;
    pages.run(None, of("restore", &[&backup, "--data", &restored])).await;
    let token = pages.run(None, of("token", &["--config", &config, "--subject", "ann"])).await;
    assert_eq!((&token["pool"], &token["issuer"]), (&Value::from("app"), &Value::from("i")));
    let made = pages.run(None, of("vapid", &[&key])).await;
    assert_eq!(pages.run(None, of("vapid", &["--public", &key])).await["public_key"], made["public_key"]);
    let settings = pages.run(None, of("config", &[])).await;
    assert_eq!(settings["settings"][0]["variable"], "DRIFTLESS_LISTEN");
    assert_eq!(pages.run(None, of("config check", &[&config])).await["pools"][0], "app");
    // All that the page describes has occurred: members that are there only sometimes, entries of each list, what may be null.
    let described = pages.commands.iter().chain(&pages.words).flat_map(|(name, shape)| shape.paths(name));
    let is_always_empty = |path: &String| ["client put.records[]", "client remove.records[]"].contains(&path.as_str());
    let missed: Vec<String> = described.filter(|path| !pages.seen.contains(path) && !is_always_empty(path)).collect();
    assert!(missed.is_empty(), "not seen: {missed:#?}");
}

/// Each command that takes `--json` stands in the page, and each that prints data takes it.
#[tokio::test]
async fn every_command_that_prints_data_takes_json() {
    // They start a server, group others, or print a text for another program.
    const WITHOUT: [&str; 7] = ["access", "dev", "serve", "client", "push", "completions", "man"];
    let help = |arguments: Vec<String>| async move {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(["--help"]).collect();
        text(&output(&arguments, &[]).await.stdout)
    };
    let subcommands = |help: &str| -> Vec<String> {
        let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| line.starts_with("  "));
        let names = lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
        names.filter(|name| *name != "help").map(str::to_owned).collect()
    };
    let documented = DocumentedShapes::read();
    let mut commands: Vec<Vec<String>> = subcommands(&help(Vec::new()).await).into_iter().map(|name| vec![name]).collect();
    let mut walked = 0;
    while let Some(command) = commands.pop() {
        let said = help(command.clone()).await;
        commands.extend(subcommands(&said).into_iter().map(|name| [command.as_slice(), &[name]].concat()));
        let name = command.join(" ");
        walked += 1;
        if WITHOUT.contains(&name.as_str()) {
            continue;
        }
        assert!(said.contains("--json"), "{name} has no --json");
        let is_documented = documented.commands.keys().any(|one| *one == name || one.starts_with(&format!("{name} ")));
        assert!(is_documented, "docs/commands.md does not describe the JSON of {name}");
    }
    assert!(walked > 30, "{walked}");
}
