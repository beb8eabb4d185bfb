//! The port for devices and the one for operators.

use tempfile::TempDir;

use crate::support::{DeviceHttp, ServingChild, driftless, raw_request, serve_token, wait_for};

const KEY: &str = "an-operator-key-of-more-than-32-characters";

#[tokio::test]
async fn the_port_for_devices_serves_nothing_that_is_for_operators() {
    let folder = TempDir::new().unwrap();
    let server = ServingChild::start(folder.path(), &["--admin-key", KEY]).await;
    assert!(server.admin.ip().is_loopback() && server.admin != server.address);
    let get = async |address, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\n\r\n");
        raw_request(address, request.as_bytes()).await
    };
    let find = "/admin/api/identities?pool=demo&subject=alice";
    for path in [find, "/metrics", "/admin/api/backup", "/admin/api/nowhere"] {
        let (public, admin) = (get(server.address, path).await, get(server.admin, path).await);
        assert!(public.status == 404 && public.body.contains("admin.listen"), "{path}: {} {}", public.status, public.body);
        assert!(admin.status == if path.contains("nowhere") { 404 } else { 200 }, "{path}: {} {}", admin.status, admin.body);
    }
    for path in ["/health/live", "/health/ready"] {
        assert_eq!((get(server.address, path).await.status, get(server.admin, path).await.status), (200, 200), "{path}");
    }
    let device = DeviceHttp::new(server.admin, &serve_token("alice"), "phone");
    assert_eq!(device.get("/v1/datasets").await.status, 404, "devices have their own port");

    // An operator's command finds it by its address, and says where to look if it is sent to the port for devices.
    let find = async |url: String| {
        let command = driftless().args(["identities", "--subject", "alice", "--key", KEY, "--url", &url]).output();
        let output = wait_for("the command's end", command).await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = find(format!("http://{}", server.admin)).await;
    assert!(code == Some(1) && said.contains("no one with the subject alice"), "the login has no identity: {code:?} {said}");
    let (code, said) = find(format!("http://{}", server.address)).await;
    assert!(code == Some(1) && said.contains("admin.listen"), "{code:?} {said}");
}

#[tokio::test]
async fn one_port_serves_all_if_both_settings_name_it() {
    let folder = TempDir::new().unwrap();
    let server = ServingChild::start(folder.path(), &["--admin-listen", "127.0.0.1:0"]).await;
    assert_eq!(server.admin, server.address);
    let http = DeviceHttp::new(server.address, &serve_token("alice"), "phone");
    assert_eq!((http.get("/v1/datasets").await.status, http.get("/metrics").await.status), (200, 200));
}
