//! Amazon Cognito Sync over its own wire, beside a socket of the same identity.

use serde_json::{Value, json};

use crate::support::aws::AwsClient;
use crate::support::{DeviceHttpResponse, TestServer, change, key, token, wait_for};

const ACCOUNT: &str = "123456789012";

/// A caller of cognito-sync, and the identity whose datasets it is for.
struct SyncClient {
    aws: AwsClient,
    pool: String,
    identity: String,
}

impl SyncClient {
    /// The root of an account, for the identity of a person who has signed in.
    async fn start(server: &TestServer, person: &str) -> SyncClient {
        let root = AwsClient::of_new_account(server.address(), &server.operator(), ACCOUNT).await;
        let identity = server.operator().identity(person).await;
        let listed = server.operator().get("/pools").await.json();
        let pool = listed["pools"].as_array().unwrap().iter().find(|pool| pool["name"] == "demo").expect("the pool");
        SyncClient {
            aws: AwsClient { service: "cognito-sync", ..root },
            pool: encoded(pool["id"].as_str().unwrap()),
            identity: encoded(&identity),
        }
    }

    async fn call(&self, method: &str, rest: &str, body: &Value) -> DeviceHttpResponse {
        let target = format!("/identitypools/{}/identities/{}{rest}", self.pool, self.identity);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.aws.rest(method, &target, &body).await
    }

    async fn list(&self, dataset: &str, query: &str) -> Value {
        let answer = self.call("GET", &format!("/datasets/{dataset}/records{query}"), &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    /// Patches of key, value and count; an empty value removes.
    async fn update(&self, dataset: &str, patches: &[(&str, &str, u64)]) -> DeviceHttpResponse {
        let token = self.list(dataset, "").await["SyncSessionToken"].clone();
        let one = |(key, value, count): &(&str, &str, u64)| {
            let op = if value.is_empty() { "remove" } else { "replace" };
            json!({"Key": key, "Value": value, "Op": op, "SyncCount": count, "DeviceLastModifiedDate": 1_795_422_708.758})
        };
        let patches: Vec<Value> = patches.iter().map(one).collect();
        self.call("POST", &format!("/datasets/{dataset}"), &json!({"SyncSessionToken": token, "RecordPatches": patches})).await
    }
}

fn encoded(id: &str) -> String {
    id.replace(':', "%3A")
}

/// Key, value and count of each record.
fn records(answer: &Value) -> Vec<(String, Option<String>, u64)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let one = |record: &Value| (text(&record["Key"]).unwrap(), text(&record["Value"]), record["SyncCount"].as_u64().unwrap());
    answer["Records"].as_array().unwrap().iter().map(one).collect()
}

fn code(answer: &DeviceHttpResponse) -> (u16, String) {
    (answer.status, answer.header("x-amzn-errortype").unwrap_or_default().to_owned())
}

#[tokio::test]
async fn what_the_wire_writes_a_socket_sees_at_once_and_the_other_way_round() {
    let server = TestServer::start().await;
    let mut laptop = server.device("alice", "laptop").await;
    laptop.open("profile").await;
    let client = SyncClient::start(&server, "alice").await;

    let missing = client.list("profile", "?lastSyncCount=0").await;
    assert_eq!((&missing["DatasetExists"], &missing["DatasetSyncCount"], &missing["Records"]), (&json!(false), &json!(0), &json!([])));
    let answer = client.update("profile", &[("name", "Ann", 0), ("city", "Bonn", 0)]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let echoed = answer.json();
    assert_eq!(records(&echoed), [("name".to_owned(), Some("Ann".to_owned()), 1), ("city".to_owned(), Some("Bonn".to_owned()), 1)]);
    assert_eq!(echoed["Records"][0]["LastModifiedBy"], json!(ACCOUNT));
    let (from, to, changed) = wait_for("the wire's write", laptop.receive_changes()).await;
    assert_eq!((from, to, changed.len(), changed[0].device.as_str()), (0, 1, 2, "~123456789012"));

    assert_eq!(laptop.write("profile", &[change("put name \"Bea\"")]).await, 2);
    let listed = client.list("profile", "?lastSyncCount=1").await;
    assert_eq!(records(&listed), [("name".to_owned(), Some("Bea".to_owned()), 2)]);
    assert_eq!((&listed["DatasetSyncCount"], &listed["LastModifiedBy"]), (&json!(2), &json!("laptop")));

    // A stale count is refused in the service's words, also for an equal value, and nothing of the call is written.
    for value in ["Cleo", "Bea"] {
        let refused = client.update("profile", &[("new", "x", 0), ("name", value, 1)]).await;
        assert_eq!(code(&refused), (409, "ResourceConflictException".to_owned()));
        assert_eq!(refused.json()["message"], json!("Current SyncCount for: name is: 2 not: 1"));
    }
    let removed = client.update("profile", &[("city", "", 1), ("never", "", 0)]).await;
    assert_eq!(records(&removed.json()), [("city".to_owned(), None, 3), ("never".to_owned(), None, 3)], "{}", removed.body);
    let (_, to, changed) = wait_for("the removal", laptop.receive_changes()).await;
    assert_eq!((to, changed[0].key.clone(), changed[0].content.value()), (3, key("city"), None));
}

#[tokio::test]
async fn a_deletion_is_told_to_every_count_from_before_it_and_counts_go_on() {
    let mut server = TestServer::start().await;
    let mut laptop = server.device("alice", "laptop").await;
    laptop.open("d").await;
    let mut client = SyncClient::start(&server, "alice").await;
    let no_dataset = client.call("DELETE", "/datasets/d", &Value::Null).await;
    assert_eq!(code(&no_dataset), (404, "ResourceNotFoundException".to_owned()));
    for (count, value) in ["a", "b", "c"].into_iter().enumerate() {
        assert_eq!(client.update("d", &[("k", value, count as u64)]).await.status, 200);
        wait_for("a change", laptop.receive_changes()).await;
    }
    let deleted = client.call("DELETE", "/datasets/d", &Value::Null).await;
    assert_eq!((deleted.status, &deleted.json()["Dataset"]["NumRecords"]), (200, &json!(1)), "{}", deleted.body);
    let (_, to, changed) = wait_for("the removal", laptop.receive_changes()).await;
    assert_eq!((to, changed.len(), changed[0].content.value()), (4, 1, None), "a socket hears of a removal");

    let flags = |answer: &Value| (answer["DatasetExists"].clone(), answer["DatasetDeletedAfterRequestedSyncCount"].clone());
    for (count, was_deleted) in [(0, false), (1, true), (3, true), (4, false), (9, false)] {
        let listed = client.list("d", &format!("?lastSyncCount={count}")).await;
        assert_eq!((flags(&listed), records(&listed).len()), ((json!(false), json!(was_deleted)), 0), "{count}");
    }
    let described = client.call("GET", "/datasets/d", &Value::Null).await;
    assert_eq!(code(&described), (404, "ResourceNotFoundException".to_owned()));
    server.restart().await;
    client.aws.address = server.address();
    // The key has a tombstone of its former life, and any count will do.
    let again = client.update("d", &[("k", "new", 2)]).await;
    assert_eq!(records(&again.json()), [("k".to_owned(), Some("new".to_owned()), 5)], "{}", again.body);
    let listed = client.list("d", "?lastSyncCount=3").await;
    assert_eq!((flags(&listed), records(&listed).len(), &listed["DatasetSyncCount"]), ((json!(true), json!(true)), 1, &json!(5)));
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_what_is_written_meanwhile() {
    let server = TestServer::start().await;
    server.device("alice", "laptop").await;
    let client = SyncClient::start(&server, "alice").await;
    let names: Vec<String> = (0..9).map(|number| format!("k{number}")).collect();
    let all: Vec<_> = names.iter().map(|name| (name.as_str(), "1", 0)).collect();
    assert_eq!(client.update("d", &all).await.status, 200);
    let first = client.list("d", "?maxResults=4").await;
    assert_eq!((records(&first).len(), first["NextToken"].is_string()), (4, true));
    // One that was read, and one that was not.
    assert_eq!(client.update("d", &[("k0", "2", 1), ("k8", "2", 1)]).await.status, 200);
    let mut found: Vec<_> = records(&first);
    let mut next = first["NextToken"].clone();
    let mut last = Value::Null;
    while let Some(token) = next.as_str().map(str::to_owned) {
        last = client.list("d", &format!("?maxResults=4&nextToken={token}")).await;
        assert!(records(&last).len() <= 4);
        found.extend(records(&last));
        next = last["NextToken"].clone();
    }
    assert_eq!((found.len(), &last["DatasetSyncCount"]), (10, &json!(2)));
    let newest: std::collections::BTreeMap<_, _> = found.into_iter().map(|(key, value, _)| (key, value.unwrap())).collect();
    assert_eq!((newest.len(), newest["k0"].as_str(), newest["k8"].as_str(), newest["k4"].as_str()), (9, "2", "2", "1"));
    let datasets = client.call("GET", "/datasets?maxResults=1", &Value::Null).await.json();
    assert_eq!((&datasets["Count"], &datasets["Datasets"][0]["NumRecords"]), (&json!(1), &json!(9)));
    let usage = client.call("GET", "", &Value::Null).await.json();
    assert_eq!((&usage["IdentityUsage"]["DatasetCount"], &usage["IdentityUsage"]["DataStorage"]), (&json!(1), &json!(9 * 4)));
}

#[tokio::test]
async fn tokens_and_inputs_that_are_not_good_are_refused_and_write_nothing() {
    let server = TestServer::start().await;
    server.device("alice", "laptop").await;
    server.device("bob", "phone").await;
    let client = SyncClient::start(&server, "alice").await;
    let bob =
        SyncClient { aws: client.aws.clone(), pool: client.pool.clone(), identity: encoded(&server.operator().identity("bob").await) };
    let patch = json!([{"Key": "k", "Op": "replace", "Value": "v", "SyncCount": 0}]);
    let good = client.list("d", "").await["SyncSessionToken"].as_str().unwrap().to_owned();
    let others = [
        bob.list("d", "").await["SyncSessionToken"].clone(),
        client.list("e", "").await["SyncSessionToken"].clone(),
        json!(format!("{good}A")),
        json!(good[..good.len() - 1]),
        json!(""),
        json!("x".repeat(100_000)),
    ];
    for token in others {
        let refused = client.call("POST", "/datasets/d", &json!({"SyncSessionToken": token, "RecordPatches": patch})).await;
        assert_eq!(code(&refused), (400, "InvalidParameterException".to_owned()));
        assert_eq!(refused.json()["message"], json!("SyncSessionToken not valid for these inputs"));
    }
    let with = |patches: Value| json!({"SyncSessionToken": good, "RecordPatches": patches});
    let one = |change: Value| with(json!([change]));
    let many: Vec<Value> = (0..1025).map(|n| json!({"Key": format!("k{n}"), "Op": "remove", "SyncCount": 0})).collect();
    for (body, expected) in [
        (json!({"RecordPatches": patch}), "InvalidParameterException"),
        (with(json!([])), "InvalidParameterException"),
        (with(Value::Null), "InvalidParameterException"),
        (one(json!({"Key": "", "Op": "replace", "Value": "v", "SyncCount": 0})), "InvalidParameterException"),
        (one(json!({"Key": "k", "Op": "add", "Value": "v", "SyncCount": 0})), "InvalidParameterException"),
        (one(json!({"Key": "k", "Op": "replace", "SyncCount": 0})), "InvalidParameterException"),
        (one(json!({"Key": "k", "Op": "replace", "Value": "v", "SyncCount": -1})), "InvalidParameterException"),
        (one(json!({"Key": "k", "Op": "replace", "Value": 1, "SyncCount": 0})), "SerializationException"),
        (one(json!({"Key": "k", "Op": "replace", "Value": "v".repeat(1_048_576), "SyncCount": 0})), "InvalidParameterException"),
        (with(json!(many)), "LimitExceededException"),
    ] {
        let refused = client.call("POST", "/datasets/d", &body).await;
        assert_eq!(code(&refused), (400, expected.to_owned()), "{}", refused.body);
    }
    for query in
        ["?lastSyncCount=x", "?maxResults=0", "?maxResults=x", "?nextToken=x", &format!("?nextToken={good}"), "?syncSessionToken=x"]
    {
        let refused = client.call("GET", &format!("/datasets/d/records{query}"), &Value::Null).await;
        assert_eq!(code(&refused), (400, "InvalidParameterException".to_owned()), "{query}");
    }
    assert_eq!(client.list("d", "").await["DatasetSyncCount"], json!(0), "nothing was written");
    let nobody = SyncClient { aws: client.aws.clone(), pool: client.pool.clone(), identity: "local%3A0123-abc".to_owned() };
    let refused = nobody.call("GET", "/datasets", &Value::Null).await;
    assert_eq!(code(&refused), (404, "ResourceNotFoundException".to_owned()));
    let elsewhere = SyncClient { pool: "local%3A0123-abc".to_owned(), ..client };
    assert_eq!(code(&elsewhere.call("GET", "/datasets", &Value::Null).await), (404, "ResourceNotFoundException".to_owned()));
    // Another account's root may nothing here.
    let other = AwsClient::of_new_account(server.address(), &server.operator(), "210987654321").await;
    let other = SyncClient { aws: AwsClient { service: "cognito-sync", ..other }, pool: bob.pool.clone(), identity: bob.identity.clone() };
    assert_eq!(code(&other.call("GET", "/datasets/d/records", &Value::Null).await), (403, "AccessDeniedException".to_owned()));
    let unsigned = crate::support::DeviceHttp::new(server.address(), &token("alice"), "laptop");
    let path = format!("/identitypools/{}/identities/{}/datasets", bob.pool, bob.identity);
    assert_eq!(unsigned.get(&path).await.status, 403);
}
