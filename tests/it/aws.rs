//! AWS's wire on the devices' port: a root's access key, and who signed a request.

use driftless_protocol::Codec;
use serde_json::json;

use crate::support::aws::{AwsClient, element};
use crate::support::{DeviceHttp, RawSocket, TestServer, raw_request, token, wait_for};

const WHO: &str = "Action=GetCallerIdentity&Version=2011-06-15";
const ACCOUNT: &str = "123456789012";

async fn client(server: &TestServer) -> AwsClient {
    AwsClient::of_new_account(server.address(), &server.operator(), ACCOUNT).await
}

#[tokio::test]
async fn a_root_is_told_who_it_is_also_after_a_restart() {
    let mut server = TestServer::start().await;
    let mut root = client(&server).await;
    for restarts in 0..2 {
        let answer = root.send(WHO).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!((element(&answer, "Account"), element(&answer, "UserId")), (ACCOUNT, ACCOUNT));
        assert_eq!(element(&answer, "Arn"), "arn:aws:iam::123456789012:root");
        assert_eq!((answer.header("content-type"), answer.header("access-control-allow-origin")), (Some("text/xml"), Some("*")));
        assert!(answer.header("x-amzn-requestid").is_some_and(|id| answer.body.contains(id)));
        if restarts == 0 {
            server.restart().await;
            root.address = server.address();
        }
    }
}

#[tokio::test]
async fn what_is_not_signed_by_a_known_key_is_refused_and_says_why() {
    let server = TestServer::start().await;
    let root = client(&server).await;
    let wrong = |answer: &crate::support::DeviceHttpResponse| (answer.status, element(answer, "Code").to_owned());
    let cases = [
        (AwsClient { secret: format!("{}x", root.secret), ..root.clone() }, WHO, (403, "SignatureDoesNotMatch")),
        (AwsClient { key: "AKIAAAAAAAAAAAAAAAAA".to_owned(), ..root.clone() }, WHO, (403, "InvalidClientTokenId")),
        (AwsClient { key: "anything".to_owned(), ..root.clone() }, WHO, (403, "InvalidClientTokenId")),
        (AwsClient { ahead_s: 3600, ..root.clone() }, WHO, (403, "SignatureDoesNotMatch")),
        (AwsClient { ahead_s: -3600, ..root.clone() }, WHO, (403, "SignatureDoesNotMatch")),
        (AwsClient { service: "iam", ..root.clone() }, WHO, (400, "InvalidAction")),
        (root.clone(), "Action=AssumeRoleWithSAML&Version=2011-06-15", (400, "InvalidAction")),
        (root.clone(), "Action=ListUsers&Version=2010-05-08", (400, "InvalidAction")),
        (root.clone(), "Action=AssumeRole&Version=2011-06-15", (400, "MissingParameter")),
    ];
    for (client, form, (status, code)) in cases {
        let answer = client.send(form).await;
        assert_eq!(wrong(&answer), (status, code.to_owned()), "{client:?} {form}: {}", answer.body);
        assert!(!answer.body.contains(&root.secret));
    }
    // Another body than the one that was signed.
    let other = root.signed(WHO).replace("2011-06-15", "2011-06-16");
    assert_eq!(raw_request(server.address(), other.as_bytes()).await.status, 400, "an unknown version");
    let longer = root.signed(&format!("{WHO}&a=1")).replace("&a=1", "&a=2");
    assert_eq!(wrong(&raw_request(server.address(), longer.as_bytes()).await), (403, "SignatureDoesNotMatch".to_owned()));
    let unsigned = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let unsigned = format!("{unsigned}Content-Length: {}\r\n\r\n{WHO}", WHO.len());
    assert_eq!(wrong(&raw_request(server.address(), unsigned.as_bytes()).await), (403, "MissingAuthenticationToken".to_owned()));
}

#[tokio::test]
async fn a_key_that_was_disabled_or_deleted_signs_nothing_from_then_on() {
    let server = TestServer::start().await;
    let operator = server.operator();
    let root = client(&server).await;
    let (keys, key) = (format!("/access/accounts/{ACCOUNT}/keys"), format!("/access/accounts/{ACCOUNT}/keys/{}", root.key));
    let rotated = operator.post(&keys, "{}").await.json();
    let second = AwsClient {
        key: rotated["access_key_id"].as_str().unwrap().to_owned(),
        secret: rotated["secret_access_key"].as_str().unwrap().to_owned(),
        ..root.clone()
    };
    assert_eq!(second.send(WHO).await.status, 200);
    assert_eq!(operator.post(&keys, "{}").await.status, 409, "a root has two keys");
    assert_eq!(operator.post(&format!("{key}/status"), r#"{"active":false}"#).await.status, 200);
    assert_eq!(element(&root.send(WHO).await, "Code"), "InvalidClientTokenId");
    assert_eq!(operator.post(&format!("{key}/status"), r#"{"active":true}"#).await.status, 200);
    assert_eq!(root.send(WHO).await.status, 200);
    assert_eq!(operator.delete(&key).await.status, 200);
    assert_eq!((root.send(WHO).await.status, second.send(WHO).await.status), (403, 200));
    let listed = operator.get(&keys).await.json();
    assert_eq!((listed["keys"].as_array().unwrap().len(), &listed["keys"][0]["access_key_id"]), (1, &json!(second.key)));
    assert!(!listed.to_string().contains("secret"), "{listed}");
}

#[tokio::test]
async fn accounts_that_cannot_be_made_are_refused_with_a_reason() {
    let server = TestServer::start().await;
    let operator = server.operator();
    let cases = [
        (r#"{"name":"","id":"123456789012"}"#, 400, "1 to 50 characters"),
        (r#"{"name":"a\u0000b"}"#, 400, "control character"),
        (r#"{"name":"a","id":"12"}"#, 400, "twelve digits"),
        (r#"{"name":"a","ID":"123456789012"}"#, 400, "ID"),
    ];
    for (body, status, why) in cases {
        let answer = operator.post("/access/accounts", body).await;
        assert!(answer.status == status && answer.text().contains(why), "{body}: {}", answer.text());
    }
    assert_eq!(operator.post("/access/accounts", r#"{"name":"a","id":"123456789012"}"#).await.status, 200);
    assert_eq!(operator.post("/access/accounts", r#"{"name":"b","id":"123456789012"}"#).await.status, 409);
    let random = operator.post("/access/accounts", r#"{"name":"b"}"#).await.json();
    let id = random["account"].as_str().unwrap();
    assert!(id.len() == 12 && !id.starts_with('0'), "{id}");
    for path in ["/access/accounts/999999999999/keys", "/access/accounts/123456789012/keys/AKIA/status"] {
        let answer = if path.ends_with("keys") { operator.get(path).await } else { operator.post(path, r#"{"active":true}"#).await };
        assert_eq!(answer.status, 404, "{}", answer.text());
    }
    assert_eq!(operator.get("/access/accounts").await.json()["accounts"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_servers_own_paths_and_devices_are_as_they_were() {
    let server = TestServer::start().await;
    let alice = DeviceHttp::new(server.address(), &token("alice"), "phone");
    assert_eq!(alice.get("/v1/datasets").await.status, 200);
    drop(RawSocket::open_session(server.address(), Codec::Json, "alice").await);
    for path in ["/nothing", "/v1/nothing", "/a-bucket/key"] {
        let answer = alice.get(path).await;
        assert!(answer.status == 404 && answer.header("content-type") == Some("application/json"), "{path}: {}", answer.body);
    }
    let preflight = "OPTIONS / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nOrigin: http://127.0.0.1:3000\r\n\
                     Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-amz-target\r\n\r\n";
    let answer = raw_request(server.address(), preflight.as_bytes()).await;
    assert!(answer.status == 200 && answer.header("access-control-allow-headers").is_some_and(|names| names.contains("-Amz-Target")));
}

#[tokio::test]
async fn other_services_answer_that_they_do_not_know_the_operation() {
    let server = TestServer::start().await;
    let json = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Amz-Target: AWSCognitoIdentityService.ListIdentities\r\n\
                Content-Type: application/x-amz-json-1.1\r\nContent-Length: 2\r\n\r\n{}";
    let answer = raw_request(server.address(), json.as_bytes()).await;
    assert_eq!((answer.status, &answer.json()["__type"]), (400, &json!("UnknownOperationException")));
    let rest = "GET /identitypools HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(raw_request(server.address(), rest.as_bytes()).await.header("x-amzn-errortype"), Some("UnknownOperationException"));
}

/// A body that no call has is refused by its length, and not kept.
#[tokio::test]
async fn a_form_of_more_than_a_mebibyte_is_refused() {
    let server = TestServer::start().await;
    let root = client(&server).await;
    let answer = root.send(&format!("{WHO}&Padding={}", "x".repeat(1 << 20))).await;
    assert_eq!((answer.status, element(&answer, "Code")), (413, "RequestEntityTooLargeException"));
    assert_eq!(root.send(WHO).await.status, 200);
}

/// Slow senders of large forms keep nobody out whose form is small.
#[tokio::test]
async fn large_forms_that_never_end_hold_up_no_small_one() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = TestServer::start().await;
    let root = client(&server).await;
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100000\r\n\r\nA";
    let mut slow = Vec::new();
    for _ in 0..33 {
        let mut socket = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        slow.push(socket);
    }
    // One of them is too many.
    let mut answers: Vec<_> = slow.iter_mut().map(|socket| Box::pin(async { socket.read_u8().await })).collect();
    let first = std::future::poll_fn(|context| {
        let ready = answers.iter_mut().any(|answer| answer.as_mut().poll(context).is_ready());
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    });
    wait_for("the refusal of one large form", first).await;
    assert_eq!(root.send(WHO).await.status, 200);
}
