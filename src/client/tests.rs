//! Runs the command from its arguments to its output, against a small server.

use std::io;

use clap::Parser;
use driftless_protocol::DatasetName;
use tokio::sync::mpsc;

use super::error::ClientError;
use super::fake_server::FakeServer;
use super::output::CommandOutput;
use super::{ClientArgs, execute};

#[derive(clap::Parser)]
struct TestCli {
    #[command(flatten)]
    args: ClientArgs,
}

/// Sends each write to a channel.
struct ChannelWriter(mpsc::UnboundedSender<String>);

impl io::Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        self.0.send(text).map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn parse(url: &str, line: &str) -> ClientArgs {
    let words = ["client", "--url", url].into_iter().chain(line.split(' '));
    TestCli::try_parse_from(words).map(|command| command.args).expect(line)
}

fn mint(subject: &str) -> Result<String, String> {
    Ok(format!("token of {subject}"))
}

/// Runs a command and returns its output.
async fn run(server: &FakeServer, line: &str) -> Result<String, ClientError> {
    let (lines, mut printed) = mpsc::unbounded_channel();
    let args = parse(&server.url, line);
    let mut output = CommandOutput::to(Box::new(ChannelWriter(lines)), args.json);
    execute(args, mint, &mut output).await?;
    drop(output);
    let mut text = String::new();
    while let Some(part) = printed.recv().await {
        text += &part;
    }
    Ok(text.trim_end().to_owned())
}

fn exit(result: Result<String, ClientError>) -> u8 {
    result.expect_err("a failure").exit_code()
}

#[tokio::test]
async fn records_are_put_read_added_to_and_removed() {
    let server = FakeServer::start().await;
    let said = run(&server, "put settings theme=dark visits=1").await;
    assert_eq!(said.as_deref(), Ok("settings is at version 1"));
    assert_eq!(run(&server, "get settings theme --codec json").await.as_deref(), Ok("\"dark\""));
    let said = run(&server, "add settings visits=2").await;
    assert_eq!(said.as_deref(), Ok("visits = 3   version 2\nsettings is at version 2"));
    assert_eq!(run(&server, "remove settings theme").await.as_deref(), Ok("settings is at version 3"));
    let missing = run(&server, "get settings visit").await;
    assert_eq!(missing.clone().expect_err("a typo").to_string(), "settings has no record visit; did you mean visits?");
    assert_eq!(exit(missing), 1);
    let list = run(&server, "list settings").await.expect("a list");
    assert!(list.starts_with("visits = 3   version 2   from cli   0."), "{list}");
    let all = run(&server, "list").await.expect("a list");
    assert_eq!(all.lines().nth(1).map(|line| line.split_whitespace().take(2).collect()), Some(vec!["settings", "3"]), "{all}");
}

#[tokio::test]
async fn what_does_not_exist_is_named_and_ends_with_1() {
    let server = FakeServer::start().await;
    run(&server, "put settings theme=dark").await.expect("written");
    for line in ["get setings theme", "list setings", "export setings", "remove setings theme"] {
        let missing = run(&server, line).await;
        assert_eq!(missing.clone().expect_err(line).to_string(), "there is no dataset setings; did you mean settings?", "{line}");
        assert_eq!(exit(missing), 1);
    }
    assert_eq!(exit(run(&server, "remove settings theme them").await), 1);
    assert_eq!(run(&server, "get settings theme").await.as_deref(), Ok("\"dark\""), "nothing was removed");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("out.json");
    assert_eq!(exit(run(&server, &format!("export nothing {}", file.display())).await), 1);
    assert!(!file.exists(), "nothing was written");
    run(&server, "remove settings theme").await.expect("removed");
    assert_eq!(run(&server, "list settings").await.as_deref(), Ok(""), "a dataset whose records were removed exists");
    assert_eq!(run(&server, "export settings").await.as_deref(), Ok("{}"));
    run(&server, "remove settings theme --base 9").await.expect("a removal with a base is remembered even if there is no record");
}

#[tokio::test]
async fn with_json_every_result_is_a_line_of_json() {
    let server = FakeServer::start().await;
    let json = async |line: &str| {
        let text = run(&server, &format!("{line} --json")).await.expect(line);
        let mut value: serde_json::Value = serde_json::from_str(&text).expect(&text);
        let record = if value["records"].is_array() { value["records"].get_mut(0) } else { Some(&mut value) };
        if let Some(record) = record.and_then(serde_json::Value::as_object_mut) {
            record.remove("modified_ms");
        }
        value.to_string()
    };
    assert_eq!(json("put settings theme=\"dark\"").await, r#"{"dataset":"settings","records":[],"version":1}"#);
    assert_eq!(
        json("add settings visits=2").await,
        r#"{"dataset":"settings","records":[{"device":"cli","key":"visits","value":2,"version":2}],"version":2}"#
    );
    assert_eq!(json("get settings theme").await, r#"{"device":"cli","key":"theme","value":"dark","version":1}"#);
    assert_eq!(json("remove settings theme").await, r#"{"dataset":"settings","records":[],"version":3}"#);
    assert_eq!(json("list settings").await, r#"{"device":"cli","key":"visits","value":2,"version":2}"#);
    assert!(json("list").await.starts_with(r#"{"datasets":[{"bytes":0,"dataset":"settings""#));
}

#[tokio::test]
async fn an_error_has_an_exit_code_and_a_hint() {
    let server = FakeServer::start().await;
    run(&server, "put settings theme=dark").await.expect("written");
    let conflict = run(&server, "put settings theme=light --base 0 --device other").await;
    assert!(conflict.clone().expect_err("a conflict").to_string().contains("theme = \"dark\"   version 1"));
    assert_eq!(exit(conflict), 4);
    assert_eq!(exit(run(&server, "put settings forbidden=1").await), 3);
    let refused = run(&server, "get settings theme --token stolen").await;
    let said = refused.clone().expect_err("no session").to_string();
    assert!(said.contains("4003 token_refused: the token is not alice's\n") && said.contains("DRIFTLESS_TOKEN"), "{said}");
    assert_eq!(exit(refused), 5);
    assert_eq!(exit(run(&server, "list --url ftp://x").await), 2);
    let nobody = run(&server, "list --url http://127.0.0.1:1").await.expect_err("nobody listens there");
    assert!(nobody.to_string().ends_with(" dev"), "{nobody}");
}

#[tokio::test]
async fn watch_prints_the_records_and_then_each_change() {
    let server = FakeServer::start().await;
    run(&server, "put settings theme=dark").await.expect("written");
    let (lines, mut printed) = mpsc::unbounded_channel();
    let args = parse(&server.url, "watch settings");
    let watcher = tokio::spawn(async move { execute(args, mint, &mut CommandOutput::to(Box::new(ChannelWriter(lines)), false)).await });
    let mut seen = async |starts: &str| {
        let mut line = String::new();
        while !line.ends_with('\n') {
            line += &printed.recv().await.expect("a line");
        }
        assert!(line.starts_with(starts), "{line}");
    };
    seen("theme = \"dark\"   version 1   from cli   0.").await;
    run(&server, "put settings theme=light --device phone").await.expect("written");
    seen("theme = \"light\"   version 2   from phone   0.").await;
    run(&server, "remove settings theme --device phone").await.expect("written");
    seen("theme removed   version 3   from phone   0.").await;
    drop(printed);
    run(&server, "put settings theme=dark").await.expect("written");
    assert_eq!(watcher.await.expect("no panic"), Err(ClientError::OutputClosed));
}

#[tokio::test]
async fn an_imported_file_is_exported_unchanged() {
    let server = FakeServer::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (from, to) = (folder.path().join("in.json"), folder.path().join("out.json"));
    let (from_text, to_text) = (from.to_str().expect("UTF-8"), to.to_str().expect("UTF-8"));
    let settings = DatasetName::new("settings").expect("a name");
    let many: Vec<String> = (1_000..4_000).map(|n| format!("    \"k{n}\": {n}")).collect();
    let text = format!("{{\n  \"a.b\": {{\n    \"\": {{}}\n  }},\n  \"many\": {{\n{}\n  }}\n}}\n", many.join(",\n"));
    std::fs::write(&from, &text).expect("written");

    let said = run(&server, &format!("import settings {from_text}")).await;
    assert_eq!(said.as_deref(), Ok("settings: 3001 put, 0 removed, 0 unchanged"));
    assert_eq!(server.version(&settings), 3, "3,001 changes are three patches");
    let said = run(&server, &format!("import settings {from_text}")).await;
    assert_eq!(said.as_deref(), Ok("settings: 0 put, 0 removed, 3001 unchanged"));
    run(&server, &format!("export settings {to_text}")).await.expect("exported");
    assert_eq!(std::fs::read_to_string(&to).expect("read"), text);

    std::fs::write(&from, r#"{"many":{"k1000":0}}"#).expect("written");
    let said = run(&server, &format!("import settings {from_text} --mirror")).await;
    assert_eq!(said.as_deref(), Ok("settings: 1 put, 3000 removed, 0 unchanged"));
    run(&server, "put settings many=1 s={bad n=7 --text").await.expect("written");
    assert_eq!(run(&server, "get settings n").await.as_deref(), Ok("\"7\""), "--text");
    assert_eq!(exit(run(&server, "put settings s={bad --json").await), 2);
    run(&server, "remove settings s n").await.expect("removed");
    run(&server, "put settings many=1").await.expect("written");
    // As deep as a value may be: the object around it is one level more.
    let deep = format!("{{\n  \"deep\": {}1{}\n}}", "[".repeat(32), "]".repeat(32));
    std::fs::write(&from, &deep).expect("written");
    for flat in ["", " --flat"] {
        let said = run(&server, &format!("import deep {from_text}{flat}")).await;
        let once = if flat.is_empty() { "1 put, 0 removed, 0 unchanged" } else { "0 put, 0 removed, 1 unchanged" };
        assert_eq!(said, Ok(format!("deep: {once}")), "{flat}");
        run(&server, &format!("export deep {to_text}{flat}")).await.expect("exported");
        let said = run(&server, &format!("import deep {to_text}{flat}")).await;
        assert_eq!(said.as_deref(), Ok("deep: 0 put, 0 removed, 1 unchanged"), "{flat}");
    }
    std::fs::write(&from, format!("{{\"deep\":{}1{}}}", "[".repeat(33), "]".repeat(33))).expect("written");
    assert_eq!(exit(run(&server, &format!("import deep {from_text} --flat")).await), 1);
    std::fs::write(&from, r#"{"many":{"k1000":0}}"#).expect("written");
    let inside = run(&server, "export settings").await.expect_err("no nesting");
    assert!(inside.to_string().contains("many and many.k1000 are both records"), "{inside}");
    let flat = run(&server, "export settings --flat").await;
    assert_eq!(flat.as_deref(), Ok("{\n  \"many\": 1,\n  \"many.k1000\": 0\n}"));
    let said = run(&server, &format!("import settings {from_text}")).await;
    assert_eq!(said.as_deref(), Ok("settings: 0 put, 1 removed, 1 unchanged"), "the record around the file's is replaced");
    assert_eq!(run(&server, "export settings -").await.as_deref(), Ok("{\n  \"many\": {\n    \"k1000\": 0\n  }\n}"));
}

#[tokio::test]
async fn an_invalid_file_is_named_before_the_command_connects() {
    let server = FakeServer::start().await;
    assert_eq!(exit(run(&server, "import settings /nowhere.json").await), 1);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bad.json");
    std::fs::write(&file, "[1]").expect("written");
    let why = run(&server, &format!("import settings {}", file.display())).await.expect_err("a list");
    assert!(why.to_string().ends_with("bad.json contains no JSON object"), "{why}");
    std::fs::write(&file, "{\"n\":[18446744073709551616]}").expect("written");
    let why = run(&server, &format!("import settings {}", file.display())).await.expect_err("a number of more than 64 bits");
    assert!(why.to_string().contains("18446744073709551616") && why.exit_code() == 1, "{why}");
    std::fs::write(&file, format!("{{\"{}\":1}}", "k".repeat(1_025))).expect("written");
    let why = run(&server, &format!("import settings {}", file.display())).await.expect_err("a long key");
    assert!(why.to_string().contains("has 1025 bytes"), "{why}");
}
