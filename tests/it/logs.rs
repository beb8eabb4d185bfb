//! The log may contain ids, but no secret and no value.

use driftless_client::Connection;
use driftless_protocol::Codec;
use tempfile::TempDir;

use crate::support::{DeviceHttp, DriftlessProcess, OperatorClient, TestDevice, change, settings, token, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_value_is_logged_at_any_level() {
    let folder = TempDir::new().unwrap();
    let server = DriftlessProcess::start(folder.path(), "127.0.0.1:0", &["--log", "trace"]).await;
    let token = token("alice");
    for codec in Codec::ALL {
        let mut phone = TestDevice::connect_with_codec(&server.url, &token, "planted-device", codec).await;
        phone.open("d").await;
        phone.write("d", &[change("put k \"planted-value\""), change("put planted-key {\"planted-member\":1}")]).await;
        phone.try_write("d", &[change("add k \"planted-operand\"")]).await;
        phone.connection.send_text("\"planted-nonsense\"").await.unwrap();
        phone.close_code().await;
        let mut unauthenticated = Connection::open(&settings(&server.url, "planted-device", Codec::Json)).await.unwrap();
        unauthenticated.send_text(r#"{"type":"hello","token":["planted-token"],"device":"d","client":"planted-client"}"#).await.unwrap();
        while wait_for("the connection's end", unauthenticated.recv()).await.is_ok() {}
    }
    assert!(TestDevice::connect_refused(&server.url, "planted.token.x", "planted-device").await.code().is_some());
    let http = DeviceHttp::new(server.address().parse().unwrap(), &token, "planted-device");
    http.post("/v1/datasets/d/write", r#"{"id":99,"changes":[{"key":"k","op":"put","value":"planted-value"}]}"#).await;
    http.post("/v1/datasets/d/write", r#"{"id":99,"changes":"planted-wrong"}"#).await;
    http.get("/v1/datasets/d/changes?epoch=planted-epoch").await;
    let operator = OperatorClient::with_key(server.address().parse().unwrap(), driftless::admin::DEVELOPMENT_KEY);
    let of = format!("/identities/{}", operator.identity("alice").await);
    for path in ["/datasets/d/at/2", "/datasets/d/history", "/datasets/d/compare?first=0&second=2", "/export"] {
        assert!(operator.get(&format!("{of}{path}")).await.text().contains("planted"), "{path}");
    }
    operator.post(&format!("{of}/datasets/d/restore"), r#"{"version":0}"#).await;
    http.post("/v1/identity/link", r#"{"token":"planted-token"}"#).await;
    http.post("/v1/identity/link", r#"{"token":["planted-token"]}"#).await;
    let log = server.terminate().await;
    assert!(log.contains("planted-device") && log.contains("session{session="), "the log names the device and the session:\n{log}");
    let signature = token.rsplit('.').next().unwrap();
    for planted in [
        "planted-value",
        "planted-member",
        "planted-operand",
        "planted.token",
        "planted-token",
        "planted-nonsense",
        "planted-wrong",
        signature,
        driftless::auth::DEVELOPMENT_SECRET,
        driftless::admin::DEVELOPMENT_KEY,
    ] {
        let hex: String = planted.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!log.contains(planted) && !log.to_lowercase().contains(&hex), "{planted} was logged");
    }
}
