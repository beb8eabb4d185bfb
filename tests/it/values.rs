//! Values keep every bit: random ones are written in both codecs and over HTTP, and compared, by their canonical bytes, after every way that leads
//! out of the server: both codecs, HTTP, an older version, an export, an import of it, a restart and a restored backup.
//!
//! A long run: `TEST_SEEDS=0..100 cargo test --test it values`. A seed that failed is added to `protocol/tests/random_values/seeds.txt`.

#[path = "../../protocol/tests/random_values/mod.rs"]
mod random_values;

use std::collections::BTreeMap;

use driftless_protocol::{Change, ClientMessage, CloseCode, Codec, Content, Op, Record, RefusalCode, ServerMessage, Value};
use serde_json::json;
use tempfile::TempDir;

use self::random_values::{ValueRandom, canonical, seeds};
use crate::support::{
    DeviceHttp, DriftlessProcess, RawSocket, TestDevice, TestServer, change, client_output, driftless, key, name, operator_output, raw,
    token, wait_for,
};

/// Values that each way into the server carries.
const VALUES: usize = 60;

/// The canonical bytes of each key's value.
type CanonicalContents = BTreeMap<String, Vec<u8>>;

fn contents(records: &[Record]) -> CanonicalContents {
    records.iter().filter_map(|record| Some((record.key.to_string(), canonical(record.content.value()?)))).collect()
}

fn contents_of(members: &Value) -> CanonicalContents {
    members.members().expect("a map").map(|(key, value)| (key.to_owned(), value.packed().to_vec())).collect()
}

/// What the records in an answer of the admin API hold.
fn contents_in(records: &serde_json::Value) -> CanonicalContents {
    let record = |record: &serde_json::Value| serde_json::from_str::<Record>(&record.to_string()).unwrap();
    contents(&records.as_array().unwrap().iter().map(record).collect::<Vec<_>>())
}

/// Some records, each with the JSON text of its value.
fn random_records(random: &mut ValueRandom, way: &str) -> Vec<(String, Value, String)> {
    (0..VALUES).map(|n| (format!("{way}{n}.{}", random.text(8)), random.value(4))).map(|(key, (value, json))| (key, value, json)).collect()
}

/// A write as JSON text, with the values as they were written.
fn written(random: &mut ValueRandom, id: u64, records: &[(String, Value, String)]) -> String {
    let change = |(key, _, json): &(String, Value, String)| format!(r#"{{"key":{},"op":"put","value":{json}}}"#, random.written(key));
    let changes: Vec<String> = records.iter().map(change).collect();
    format!(r#"{{"type":"write","id":{id},"dataset":"d","changes":[{}]}}"#, changes.join(","))
}

fn puts(records: &[(String, Value, String)]) -> Vec<Change> {
    records.iter().map(|(name, value, _)| Change::new(key(name), Op::Put, value.clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_keeps_its_canonical_bytes_on_every_way_through_the_server() {
    for seed in seeds(1) {
        let mut random = ValueRandom::new(seed);
        let mut server = TestServer::start().await;
        let [by_json, by_msgpack, by_http] = ["j", "m", "h"].map(|way| random_records(&mut random, way));
        let expected: CanonicalContents =
            [&by_json, &by_msgpack, &by_http].into_iter().flatten().map(|(key, value, _)| (key.clone(), canonical(value))).collect();

        let mut socket = RawSocket::open_session(server.address(), Codec::Json, "alice").await;
        let text = written(&mut random, 1, &by_json);
        socket.send(raw::message(Codec::Json, text.as_bytes()));
        let first = socket.receive().await;
        assert!(matches!(first, ServerMessage::Written { version: 1, .. }), "seed {seed}: {first:?}");
        let mut phone = server.device("alice", "phone").await;
        phone.write("d", &puts(&by_msgpack)).await;
        let http = server.http("alice", "http");
        let answer = http.post("/v1/datasets/d/write", &written(&mut random, 1, &by_http)).await;
        assert_eq!(answer.status, 200, "seed {seed}: {answer:?}");

        // The same patch in the other codec is the same patch, and equal values conflict with nothing.
        drop(socket);
        let mut again = TestDevice::connect(&server.url(), &token("alice"), "raw").await;
        again.send_message(ClientMessage::Write { id: 1, dataset: name("d"), changes: puts(&by_json), offer: false }).await;
        assert_eq!(again.receive().await, first, "seed {seed}");
        let text = written(&mut random, 2, &by_msgpack).replace(r#""op":"put""#, r#""op":"put","base":0"#);
        let answer = http.post("/v1/datasets/d/write", &text).await;
        assert_eq!(answer.status, 200, "seed {seed}: {answer:?}");

        for restarts in [false, true] {
            if restarts {
                server.restart().await;
            }
            let how = format!("seed {seed}, after a restart: {restarts}");
            for codec in Codec::ALL {
                let mut reader = TestDevice::connect_with_codec(&server.url(), &token("alice"), "reader", codec).await;
                assert_eq!(contents(&reader.open("d").await.0), expected, "{how}, {}", codec.subprotocol());
            }
            assert_eq!(contents(&changes(&server.http("alice", "reader")).await), expected, "{how}, over HTTP");
        }
        let operator = server.operator();
        let identity = operator.identity("alice").await;
        let old = operator.get(&format!("/identities/{identity}/datasets/d/at/3")).await.json();
        assert_eq!(contents_in(&old["records"]), expected, "seed {seed}, an older version");
        let compared = operator.get(&format!("/identities/{identity}/datasets/d/compare?first=0&second=3")).await.json();
        let after = compared["differences"].as_array().unwrap().iter().map(|one| one["after"].clone()).collect();
        assert_eq!(contents_in(&after), expected, "seed {seed}, differences");
        let export: serde_json::Value =
            serde_json::from_str(&operator_output(&server.url(), &["export-identity", &identity]).await).unwrap();
        assert_eq!(contents_in(&export["records"]), expected, "seed {seed}, the identity's export");

        exported_and_imported(&server.url(), &expected, seed).await;
        restored(&server.url(), &expected, seed).await;
        server.stop().await;
    }
}

/// Reads all changes over HTTP.
async fn changes(http: &DeviceHttp) -> Vec<Record> {
    let (mut all, mut query) = (Vec::new(), String::new());
    loop {
        let page = http.get(&format!("/v1/datasets/d/changes{query}")).await;
        let ServerMessage::Changes { epoch, to, more, fresh_until, records, .. } = serde_json::from_str(&page.body).unwrap() else {
            panic!("{page:?}")
        };
        all.extend(records);
        if !more {
            return all;
        }
        let fresh_until = fresh_until.map_or_else(String::new, |version| format!("&fresh_until={version}"));
        query = format!("?epoch={epoch}&version={to}{fresh_until}");
    }
}

/// Exports the dataset and imports the file into another one, which is exported again: record by record, and nested.
async fn exported_and_imported(url: &str, expected: &CanonicalContents, seed: u64) {
    let folder = TempDir::new().unwrap();
    let client = async |arguments: &[&str]| client_output(url, &[arguments, &["--subject", "alice"]].concat()).await;
    for (way, flat) in [("flat", &["--flat"][..]), ("nested", &[])] {
        let file = folder.path().join(way);
        let file = file.to_str().unwrap();
        if way == "flat" {
            client(&[&["export", "d", file][..], flat].concat()).await;
            let exported = Value::from_json(&std::fs::read(file).unwrap()).unwrap();
            assert_eq!(&contents_of(&exported), expected, "seed {seed}, an export");
        } else {
            // The keys of the first file are names here, not paths.
            std::fs::copy(folder.path().join("flat"), file).unwrap();
        }
        client(&[&["import", way, file][..], flat].concat()).await;
        let again = client(&[&["export", way, "--codec", "json"][..], flat].concat()).await;
        assert_eq!(&contents_of(&Value::from_json(again.as_bytes()).unwrap()), expected, "seed {seed}, an import and an export, {way}");
    }
}

/// Makes a backup, and reads it from a server on the restored folder.
async fn restored(url: &str, expected: &CanonicalContents, seed: u64) {
    let folder = TempDir::new().unwrap();
    let (file, data) = (folder.path().join("backup"), folder.path().join("restored"));
    operator_output(url, &["backup", file.to_str().unwrap()]).await;
    let arguments = ["restore", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    assert!(wait_for("the restore", driftless().args(arguments).output()).await.unwrap().status.success());
    let server = DriftlessProcess::start(&data, "127.0.0.1:0", &[]).await;
    let mut reader = TestDevice::connect(&server.url, &token("alice"), "reader").await;
    assert_eq!(&contents(&reader.open("d").await.0), expected, "seed {seed}, a restored backup");
}

#[tokio::test]
async fn whole_numbers_of_more_than_64_bits_are_refused_over_the_socket_and_over_http() {
    let server = TestServer::start().await;
    let mut socket = RawSocket::open_session(server.address(), Codec::Json, "alice").await;
    let write = |id: u64, op: &str, value: &str| {
        format!(r#"{{"type":"write","id":{id},"dataset":"d","changes":[{{"key":"k","op":"{op}","value":{value}}}]}}"#)
    };
    let half = r#""\ud800""#;
    for (n, (op, value)) in [("put", "18446744073709551616"), ("put", "[{\"a\":-9223372036854775809}]"), ("add", "1e400"), ("put", half)]
        .into_iter()
        .enumerate()
    {
        let id = n as u64 + 1;
        socket.send(raw::message(Codec::Json, write(id, op, value).as_bytes()));
        let answer = socket.receive().await;
        let is_refused =
            matches!(&answer, ServerMessage::Refused { id: Some(refused), code: RefusalCode::BadRequest, .. } if *refused == id);
        assert!(is_refused, "{value}: {answer:?}");
        let answer = server.http("alice", "http").post("/v1/datasets/d/write", &write(id, op, value)).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("bad_request")), "{value}: {answer:?}");
    }
    // The refusals above decided no number: each can be used.
    let list = "[1.0,-0,1e5,1E19,18446744073709551615,18446744073709551616.0,-9223372036854775808,1e300,1e-400]";
    socket.send(raw::message(Codec::Json, write(1, "put", list).as_bytes()));
    assert!(matches!(socket.receive().await, ServerMessage::Written { version: 1, .. }));
    let (records, _) = server.device("alice", "phone").await.open("d").await;
    let kept = "[1,0,100000,10000000000000000000,18446744073709551615,1.8446744073709552e+19,-9223372036854775808,1e+300,0]";
    assert_eq!(records[0].content, Content::Value(Value::from_json(kept.as_bytes()).unwrap()));
    assert_eq!(records[0].content.value().map(ToString::to_string).as_deref(), Some(kept));
}

#[tokio::test]
async fn operations_compare_numbers_by_their_canonical_form() {
    let server = TestServer::start().await;
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    phone.write("d", &[change("put list [1,100,0.5]"), change("put n 0.1"), change("put big 18446744073709551615")]).await;
    laptop.write("d", &[change("insert list [1.0,1e2,5e-1,2]"), change("add n 0.2"), change("discard list [1e0]")]).await;
    let ServerMessage::Refused { code, .. } = laptop.try_write("d", &[change("add big 1")]).await else { panic!("rounded") };
    assert_eq!(code, RefusalCode::WrongType, "a sum of more than 64 bits is not rounded");
    let (records, _) = phone.open("d").await;
    let values: BTreeMap<&str, String> =
        records.iter().map(|record| (record.key.as_str(), record.content.value().map(ToString::to_string).unwrap_or_default())).collect();
    assert_eq!(
        values,
        BTreeMap::from(
            [("list", "[100,0.5,2]"), ("n", "0.30000000000000004"), ("big", "18446744073709551615")]
                .map(|(key, json)| (key, json.to_owned()))
        )
    );
}

#[tokio::test]
async fn a_dataset_or_device_is_not_named_like_a_step_in_a_path() {
    let server = TestServer::start().await;
    let http = server.http("alice", "http");
    for path in ["/v1/datasets/../changes", "/v1/datasets/./changes", "/v1/datasets/%2e%2e/changes", "/v1/datasets/%2E/changes"] {
        let answer = http.get(path).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("bad_name")), "{path}: {answer:?}");
    }
    let mut socket = RawSocket::open_session(server.address(), Codec::Json, "alice").await;
    for dataset in [".", ".."] {
        socket.send_message(&json!({ "type": "write", "id": 1, "dataset": dataset, "changes": [{ "key": "k", "op": "put", "value": 1 }] }));
        let answer = socket.receive().await;
        assert!(matches!(answer, ServerMessage::Refused { id: Some(1), code: RefusalCode::BadName, .. }), "{answer:?}");
        assert_eq!(server.http("alice", dataset).get("/v1/datasets").await.status, 400, "a device");
        let mut newcomer = RawSocket::upgrade(server.address(), Codec::Json).await;
        newcomer.send(raw::hello(Codec::Json, "alice", dataset));
        newcomer.expect_close(CloseCode::BadMessage).await;
    }
    // A key is never part of a path: it may be any text.
    socket.send_message(&json!({ "type": "write", "id": 2, "dataset": "...", "changes": [{ "key": "..", "op": "put", "value": 1 }] }));
    assert!(matches!(socket.receive().await, ServerMessage::Written { .. }));
    assert_eq!(http.get("/v1/datasets/.../changes").await.status, 200);
}
