//! The examples of `PROTOCOL.md` §7, as they stand there, in their order, against the real server.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{TestServer, raw_request, token};

const DOCUMENT: &str = include_str!("../../../protocol/PROTOCOL.md");

/// Members whose values differ from server to server.
const VARIABLE: [&str; 5] = ["identity", "epoch", "modified_ms", "token_expires_in_s", "message"];

struct HttpExample {
    request: String,
    response: String,
}

fn examples() -> Vec<HttpExample> {
    let chapter = DOCUMENT.split("\n## ").find(|chapter| chapter.starts_with("7. HTTP")).unwrap();
    let blocks = chapter.split("```http\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks
        .map(|block| {
            let (request, response) = block.split_once("\n\nHTTP/1.1 ").unwrap();
            HttpExample { request: request.to_owned(), response: format!("HTTP/1.1 {}", response.trim_end()) }
        })
        .collect()
}

/// Panics unless both have the same members, and the same values where these do not depend on the server.
fn assert_alike(name: &str, written: &Value, real: &Value) {
    match (written, real) {
        (Value::Object(written), Value::Object(real)) => {
            let names = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(names(written), names(real), "members of {name}");
            written.iter().for_each(|(name, value)| assert_alike(name, value, &real[name]));
        }
        (Value::Array(written), Value::Array(real)) => {
            assert_eq!(written.len(), real.len(), "{name}");
            written.iter().zip(real).for_each(|(written, real)| assert_alike(name, written, real));
        }
        _ if VARIABLE.contains(&name) => assert_eq!(written.is_string(), real.is_string(), "{name}"),
        _ => assert_eq!(written, real, "{name}"),
    }
}

#[tokio::test]
async fn the_examples_of_the_document_are_what_the_server_answers() {
    let server = TestServer::start().await;
    let mut identity = String::new();
    let examples = examples();
    assert!(examples.len() >= 7, "{} examples", examples.len());
    for HttpExample { request, response } in examples {
        let (head, body) = request.split_once("\n\n").unwrap_or((&request, ""));
        let head = head.replace("<token>", &token("alice")).replace("<identity>", &identity).replace('\n', "\r\n");
        let text = format!("{head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let answer = raw_request(server.address(), text.as_bytes()).await;
        let (written_head, written_body) = response.split_once("\n\n").unwrap_or((&response, ""));
        let mut lines = written_head.lines();
        assert_eq!(answer.head.lines().next(), lines.next(), "{request}: {answer:?}");
        for line in lines {
            let (name, written) = line.split_once(": ").unwrap();
            let real = answer.header(name).unwrap_or_else(|| panic!("{request}: no {name}: {answer:?}"));
            match name {
                "Driftless-Identity" => identity = real.to_owned(),
                "WWW-Authenticate" => assert_eq!(written.split("_description").next(), real.split("_description").next()),
                _ => assert_eq!(written, real, "{request}: {name}"),
            }
        }
        if !written_body.is_empty() {
            assert_alike(&request, &serde_json::from_str(written_body).unwrap(), &answer.json());
        }
    }
}
