//! A development server, whose keys are public, and the web pages that its developer visits meanwhile.

use driftless::access::{DEVELOPMENT_ACCESS_KEY_ID, DEVELOPMENT_SECRET_ACCESS_KEY};
use tempfile::TempDir;

use crate::support::aws::AwsClient;
use crate::support::{DeviceHttpResponse, DriftlessProcess, raw_request, token};

/// What a page of another machine would like to have: the page's tokens, a person's data, the admin API, a socket, the metrics.
const TARGETS: [&str; 5] = ["/demo/token", "/v1/session", "/admin/api/identities", "/v1/sync", "/metrics"];

async fn get(server: &DriftlessProcess, path: &str, host: &str, headers: &str) -> DeviceHttpResponse {
    let upgrade = "Connection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Protocol: driftless.v1.json\r\n";
    let more = if path == "/v1/sync" { upgrade } else { "Connection: close\r\n" };
    let token = token("alice");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nDriftless-Device: page\r\n{more}{headers}\r\n");
    raw_request(server.url.trim_start_matches("http://").parse().unwrap(), request.as_bytes()).await
}

#[tokio::test]
async fn a_foreign_page_reaches_neither_the_store_nor_the_keys() {
    let folder = TempDir::new().unwrap();
    let server = DriftlessProcess::start(folder.path(), "127.0.0.1:0", &[]).await;
    let own = server.url.trim_start_matches("http://").to_owned();
    for path in TARGETS {
        for headers in ["Origin: https://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n"]
        {
            let answer = get(&server, path, &own, headers).await;
            assert_eq!(answer.status, 403, "{path} {headers}: {answer:?}");
            assert!(answer.body.contains("origin_not_allowed") && answer.body.contains("setting origins"), "{answer:?}");
        }
        let rebound = get(&server, path, "evil.example:7400", "Origin: http://evil.example:7400\r\n").await;
        assert_eq!(rebound.status, 403, "a name that was pointed at this machine: {rebound:?}");
        let rebound = get(&server, path, "evil.example:7400", "").await;
        assert_eq!(rebound.status, 403, "{rebound:?}");
    }
}

#[tokio::test]
async fn a_page_in_development_on_this_machine_and_the_demo_page_are_served() {
    let folder = TempDir::new().unwrap();
    let server = DriftlessProcess::start(folder.path(), "127.0.0.1:0", &[]).await;
    let own = server.url.trim_start_matches("http://").to_owned();
    for origin in ["http://localhost:5173", "http://127.0.0.1:3000", &*server.url] {
        let answer = get(&server, "/v1/session", &own, &format!("Origin: {origin}\r\nSec-Fetch-Site: same-site\r\n")).await;
        assert_eq!(answer.status, 200, "{origin}: {answer:?}");
    }
    let link = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n";
    assert_eq!(get(&server, "/demo/", &own, link).await.status, 200, "a link on another site");
    assert_eq!(get(&server, "/demo/token", "localhost:7400", "").await.status, 200, "a program");
}

#[tokio::test]
async fn a_page_whose_origin_is_configured_is_served() {
    let folder = TempDir::new().unwrap();
    let server = DriftlessProcess::start(folder.path(), "127.0.0.1:0", &["--origins", "https://app.example"]).await;
    let own = server.url.trim_start_matches("http://").to_owned();
    assert_eq!(get(&server, "/v1/session", &own, "Origin: https://app.example\r\n").await.status, 200);
    assert_eq!(get(&server, "/v1/session", &own, "Origin: https://other.example\r\n").await.status, 403);
}

#[tokio::test]
async fn a_page_reaches_the_bucket_whose_rules_let_its_origin_in_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let server = DriftlessProcess::start(folder.path(), "127.0.0.1:0", &[]).await;
    let root = AwsClient {
        address: server.url.trim_start_matches("http://").parse().unwrap(),
        key: DEVELOPMENT_ACCESS_KEY_ID.to_owned(),
        secret: DEVELOPMENT_SECRET_ACCESS_KEY.to_owned(),
        service: "s3",
        ahead_s: 0,
        token: None,
    };
    assert_eq!(root.s3("PUT", "/photos", &[], "").await.status, 200);
    let rule = "<CORSRule><AllowedOrigin>https://app.example</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>";
    let rules = format!("<CORSConfiguration>{rule}</CORSConfiguration>");
    assert_eq!(root.s3("PUT", "/photos?cors=", &[], &rules).await.status, 200);
    assert_eq!(root.s3("PUT", "/photos/a", &[], "x").await.status, 200);
    let preflight = async |origin: &str, method: &str| {
        let lines =
            format!("origin: {origin}\r\naccess-control-request-method: {method}\r\naccess-control-request-headers: x-amz-date\r\n");
        root.unsigned_s3("OPTIONS", "/photos/a", &lines, "").await
    };
    let allowed =
        root.unsigned_s3("OPTIONS", "/photos/a", "origin: https://app.example\r\naccess-control-request-method: GET\r\n", "").await;
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, Some("https://app.example")), "{}", allowed.body);
    for (origin, method) in [("https://app.example", "PUT"), ("https://evil.example", "GET")] {
        let refused = preflight(origin, method).await;
        assert_eq!(refused.status, 403);
        assert!(refused.body.contains("CORSResponse: This CORS request is not allowed."), "S3's own answer: {}", refused.body);
    }
    let read = root.s3("GET", "/photos/a", &[("origin", "https://app.example")], "").await;
    assert_eq!((read.status, &*read.body, read.header("access-control-allow-origin")), (200, "x", Some("https://app.example")));
    for (method, path, origin) in [
        ("GET", "/photos/a", "https://evil.example"),
        ("PUT", "/photos/a", "https://app.example"),
        ("GET", "/?x-id=ListBuckets", "https://app.example"),
    ] {
        let refused = root.s3(method, path, &[("origin", origin)], "").await;
        assert!(refused.status == 403 && refused.body.contains("origin_not_allowed"), "{method} {path} {origin}: {}", refused.body);
    }
}
