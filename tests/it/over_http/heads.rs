//! Heads of requests that two readers could understand in two ways.

use crate::support::{Bystander, TestServer, raw_request, token};

#[tokio::test]
async fn a_request_without_a_host_or_with_two_values_of_one_header_is_refused() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let (alice, bob) = (token("alice"), token("bob"));
    let good = format!("Host: a\r\nAuthorization: Bearer {alice}\r\nDriftless-Device: phone\r\n");
    let identity = server.device("alice", "laptop").await.welcome.identity.clone();
    for (what, version, head, status) in [
        ("a good one", "1.1", good.clone(), 200),
        ("HTTP/1.0 without Host", "1.0", good.replace("Host: a\r\n", ""), 200),
        ("an empty Host", "1.1", good.replace("Host: a", "Host:"), 200),
        ("an IPv6 Host", "1.1", good.replace("Host: a", "Host: [::1]:7400"), 200),
        ("no Host", "1.1", good.replace("Host: a\r\n", ""), 400),
        ("two Hosts", "1.1", format!("Host: b\r\n{good}"), 400),
        ("the same Host twice", "1.1", format!("Host: a\r\n{good}"), 400),
        ("a Host with a user", "1.1", good.replace("Host: a", "Host: u@a"), 400),
        ("a Host with a path", "1.1", good.replace("Host: a", "Host: a/b"), 400),
        ("two tokens", "1.1", format!("{good}Authorization: Bearer {bob}\r\n"), 400),
        ("a token and a password", "1.1", format!("Authorization: Basic YTpi\r\n{good}"), 400),
        ("two devices", "1.1", format!("{good}Driftless-Device: tablet\r\n"), 400),
        ("two identities", "1.1", format!("{good}Driftless-Identity: {identity}\r\nDriftless-Identity: local:0\r\n"), 400),
        ("two lengths", "1.1", format!("{good}Content-Length: 0\r\nContent-Length: 1\r\n"), 400),
        ("two types", "1.1", format!("{good}Content-Type: text/plain\r\nContent-Type: application/json\r\n"), 400),
        ("two origins", "1.1", format!("{good}Origin: https://a.example\r\nOrigin: https://b.example\r\n"), 400),
    ] {
        for path in ["/v1/datasets", "/health/live", "/demo/"] {
            let request = format!("GET {path} HTTP/{version}\r\nConnection: close\r\n{head}\r\n");
            let answer = raw_request(server.address(), request.as_bytes()).await;
            assert_eq!(answer.status, status, "{what} {path}: {answer:?}");
        }
    }
    bystander.assert_undisturbed().await;
}
