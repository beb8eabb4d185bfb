//! A wake's whole way: Firefox, configured to use a push service on this machine, decrypts the wake in a service worker.
//!
//! Firefox connects to its push service over a WebSocket (messages `hello`, `register`, `notification`, `ack`, as Mozilla's autopush documents
//! them). This test is that service. Its endpoints are the stand-in gateway's, which keeps the ciphertext that it cannot decrypt.

use std::process::Stdio;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use driftless_protocol::WebPushSubscription;
use driftless_standin::StandInGateway;
use futures_util::{SinkExt, StreamExt};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::support::push::{APP, start_server};
use crate::support::wait_for;

/// A report of the page or its service worker.
#[derive(Debug)]
enum BrowserReport {
    Subscribed(Value),
    Woken(Value),
    Failed(String),
}

#[derive(Clone)]
struct WakePage {
    key: String,
    reports: mpsc::UnboundedSender<BrowserReport>,
}

/// Serves the page on a free port, and returns its URL and its reports.
async fn serve_page(key: &str) -> (String, mpsc::UnboundedReceiver<BrowserReport>) {
    let (reports, received) = mpsc::unbounded_channel();
    let script = |text: &'static str| move || async move { ([(header::CONTENT_TYPE, "text/javascript")], text).into_response() };
    let json = |body: String| serde_json::from_str(&body).unwrap();
    let router =
        Router::new()
            .route("/", get(|| async { ([(header::CONTENT_TYPE, "text/html")], include_str!("firefox/page.html")) }))
            .route("/page.js", get(script(include_str!("firefox/page.js"))))
            .route("/worker.js", get(script(include_str!("firefox/worker.js"))))
            .route("/key", get(|State(page): State<WakePage>| async { page.key }))
            .route(
                "/subscribed",
                post(move |State(page): State<WakePage>, body: String| async move {
                    page.reports.send(BrowserReport::Subscribed(json(body))).unwrap()
                }),
            )
            .route(
                "/woken",
                post(move |State(page): State<WakePage>, body: String| async move {
                    page.reports.send(BrowserReport::Woken(json(body))).unwrap()
                }),
            )
            .route(
                "/failed",
                post(|State(page): State<WakePage>, body: String| async move { page.reports.send(BrowserReport::Failed(body)).unwrap() }),
            )
            .with_state(WakePage { key: key.to_owned(), reports });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (url, received)
}

/// Accepts browsers and serves each of them Mozilla's push protocol.
async fn serve_push_service(listener: TcpListener, gateway: StandInGateway) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();

        tokio::spawn(serve_browser(stream, gateway.clone()));
    }
}

async fn serve_browser(stream: TcpStream, gateway: StandInGateway) {
    #[allow(clippy::result_large_err)]
    let chosen = |request: &Request, mut response: Response| {
        if let Some(offered) = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL) {
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, offered.clone());
        }
        Ok(response)
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, chosen).await else { return };
    let (arrived, mut arrivals) = mpsc::unbounded_channel::<Value>();
    loop {
        let answer = tokio::select! {
            Some(notification) = arrivals.recv() => notification,
            heard = socket.next() => {
                let Some(Ok(heard)) = heard else { return };
                let Ok(message) = serde_json::from_str::<Value>(heard.to_text().unwrap_or("null")) else { continue };
                match message["messageType"].as_str() {
                    Some("hello") => json!({ "messageType": "hello", "uaid": "5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c", "status": 200, "use_webpush": true, "broadcasts": {} }),
                    Some("register") => {
                        let endpoint = gateway.subscribe("", "").endpoint;
                        let channel = message["channelID"].clone();
                        tokio::spawn(forward_pushes(gateway.clone(), endpoint.clone(), channel.clone(), arrived.clone()));
                        json!({ "messageType": "register", "channelID": channel, "status": 200, "pushEndpoint": endpoint })
                    }
                    Some("unregister") => json!({ "messageType": "unregister", "channelID": message["channelID"], "status": 200 }),
                    _ => continue,
                }
            }
        };
        if socket.send(Message::text(answer.to_string())).await.is_err() {
            return;
        }
    }
}

/// Forwards the pushes of an endpoint to the browser, still encrypted.
async fn forward_pushes(gateway: StandInGateway, endpoint: String, channel: Value, arrived: mpsc::UnboundedSender<Value>) {
    for count in 1.. {
        let pushed = gateway.wait_for_pushes(&endpoint, count).await;
        let sealed = pushed.last().and_then(|push| push.ciphertext.clone()).unwrap_or_default();
        let notification = json!({
            "messageType": "notification", "channelID": channel, "version": count.to_string(), "data": URL_SAFE_NO_PAD.encode(sealed),
            "headers": { "encoding": "aes128gcm" },
        });
        if arrived.send(notification).is_err() {
            return;
        }
    }
}

/// A browser profile that connects only to this machine, also for pushes.
fn profile(push_service: u16, origin: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    // The page has the permission to notify from the start, because no user can grant it.
    let permissions = folder.path().join("permissions");
    std::fs::write(&permissions, format!("origin\tdesktop-notification\t1\t{}\n", origin.trim_end_matches('/'))).unwrap();
    let preferences = [
        ("dom.push.serverURL", json!(format!("ws://127.0.0.1:{push_service}/"))),
        ("dom.push.testing.allowInsecureServerURL", json!(true)),
        ("dom.push.testing.ignorePermission", json!(true)),
        ("dom.push.connection.enabled", json!(true)),
        ("permissions.manager.defaultsUrl", json!(format!("file://{}", permissions.display()))),
        ("network.captive-portal-service.enabled", json!(false)),
        ("network.connectivity-service.enabled", json!(false)),
        ("network.dns.disablePrefetch", json!(true)),
        ("network.proxy.type", json!(0)),
        ("app.update.enabled", json!(false)),
        ("app.normandy.enabled", json!(false)),
        ("browser.region.update.enabled", json!(false)),
        ("browser.safebrowsing.update.enabled", json!(false)),
        ("browser.shell.checkDefaultBrowser", json!(false)),
        ("browser.startup.homepage_override.mstone", json!("ignore")),
        ("browser.aboutwelcome.enabled", json!(false)),
        ("datareporting.policy.dataSubmissionEnabled", json!(false)),
        ("extensions.systemAddon.update.enabled", json!(false)),
        ("media.gmp-manager.updateEnabled", json!(false)),
        ("services.settings.server", json!("http://127.0.0.1:9/")),
        ("toolkit.telemetry.enabled", json!(false)),
        ("toolkit.telemetry.server", json!("")),
    ];
    let lines: String = preferences.iter().map(|(name, value)| format!("user_pref({name:?}, {value});\n")).collect();
    std::fs::write(folder.path().join("user.js"), lines).unwrap();
    folder
}

#[tokio::test]
async fn a_service_worker_of_a_real_browser_receives_a_wake() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let (url, mut received) = serve_page(&gateway.credentials().vapid_public).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let profile = profile(listener.local_addr().unwrap().port(), &url);
    let service = tokio::spawn(serve_push_service(listener, gateway.clone()));
    let mut firefox = tokio::process::Command::new("firefox-esr");
    let profile_path = profile.path().to_str().unwrap();
    firefox.args(["--headless", "--no-remote", "--new-instance", "--profile", profile_path, &url]).env("HOME", profile.path());
    // Without these it would look for a desktop session.
    firefox.env_remove("DISPLAY").env_remove("DBUS_SESSION_BUS_ADDRESS");
    firefox.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let _firefox = firefox.spawn().expect("firefox-esr is installed: apt-get install firefox-esr");

    let subscription: WebPushSubscription = match wait_for("a subscription", received.recv()).await.unwrap() {
        BrowserReport::Subscribed(subscription) => {
            let part = |value: &Value| value.as_str().unwrap().to_owned();
            let (keys, endpoint) = (&subscription["keys"], part(&subscription["endpoint"]));
            WebPushSubscription { endpoint, p256dh: part(&keys["p256dh"]), auth: part(&keys["auth"]) }
        }
        BrowserReport::Failed(why) => panic!("{why}"),
        other => panic!("{other:?}"),
    };
    let http = server.http("alice", "browser");
    let registered = http.put("/v1/push", &json!({ "provider": "webpush", "app": APP, "subscription": subscription }).to_string()).await;
    assert_eq!(registered.status, 200, "{}", registered.body);
    server.device("alice", "laptop").await.put("settings", "theme", "\"dark\"").await;
    match wait_for("a report of the service worker", received.recv()).await.unwrap() {
        BrowserReport::Woken(data) => assert_eq!(
            (data["source"].as_str(), data["dataset"].as_str(), data["version"].as_str()),
            (Some("driftless"), Some("settings"), Some("1"))
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(gateway.violations(), Vec::<String>::new());
    service.abort();
}
