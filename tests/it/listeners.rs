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
    assert!(code == Some(3) && said.contains("admin.listen"), "{code:?} {said}");
}

#[tokio::test]
async fn one_port_serves_all_if_both_settings_name_it() {
    let folder = TempDir::new().unwrap();
    let server = ServingChild::start(folder.path(), &["--admin-listen", "127.0.0.1:0"]).await;
    assert_eq!(server.admin, server.address);
    let http = DeviceHttp::new(server.address, &serve_token("alice"), "phone");
    assert_eq!((http.get("/v1/datasets").await.status, http.get("/metrics").await.status), (200, 200));
}

#[tokio::test]
async fn a_port_that_a_network_can_read_is_said_at_start() {
    for (flags, of_devices, of_operators) in [
        (&["--admin-listen", "0.0.0.0:0", "--listen", "127.0.0.1:0"][..], false, true),
        (&["--listen", "0.0.0.0:0"], true, false),
        (&["--listen", "127.0.0.1:0"], false, false),
    ] {
        let folder = TempDir::new().unwrap();
        let server = ServingChild::start(folder.path(), &[flags, &["--drain-wait-s", "0"]].concat()).await;
        server.signal("-TERM").await;
        let (_, log) = server.end().await;
        let says = |setting: &str| log.contains(&format!("{setting} is not on loopback and has no TLS"));
        assert_eq!((says("\"listen"), says("admin.listen")), (of_devices, of_operators), "{flags:?}: {log}");
    }
}

#[tokio::test]
async fn no_web_page_reads_what_is_for_operators_under_a_name_of_its_own() {
    let folder = TempDir::new().unwrap();
    let server = ServingChild::start(folder.path(), &["--admin-key", KEY]).await;
    let get = async |path: &str, host: &str, key: &str| {
        let key = if key.is_empty() { String::new() } else { format!("Authorization: Bearer {key}\r\n") };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{key}\r\n");
        raw_request(server.admin, request.as_bytes()).await
    };
    let own = server.admin.to_string();
    for host in [own.as_str(), "localhost:7401", "driftless:7401", "sync.internal"] {
        assert_eq!(get("/metrics", host, "").await.status, 200, "{host}");
    }
    let rebound = "evil.example:7401";
    let refused = get("/metrics", rebound, "").await;
    assert!(refused.status == 403 && refused.body.contains("operator key"), "{refused:?}");
    assert_eq!((get("/metrics", rebound, "wrong").await.status, get("/metrics", rebound, KEY).await.status), (401, 200));
    assert_eq!(get("/admin/api/pools", rebound, "").await.status, 401);
    // Health is for balancers, under any name, and says no more than a device may know.
    assert_eq!((get("/health/live", rebound, "").await.status, get("/health/ready", rebound, "").await.status), (200, 200));
}
