//! The server's certificate: exchanged while it serves, and made by hand.

use std::path::Path;
use std::sync::Arc;

use driftless_client::{Connection, Settings, TlsTrust, TokenSource};
use driftless_protocol::DeviceId;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::{DeviceHttp, ServingChild, driftless, serve_token, wait_for};

/// Writes a certificate for localhost and its key into a folder; returns the certificate.
fn write_pair(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

fn trusting(certificates: &[&CertificateDer<'static>]) -> Arc<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    certificates.iter().for_each(|one| roots.add((*one).clone()).unwrap());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

/// The certificate that the server shows to a new connection.
async fn shown(server: &ServingChild, tls: &Arc<rustls::ClientConfig>) -> CertificateDer<'static> {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = wait_for("the handshake", tokio_rustls::TlsConnector::from(Arc::clone(tls)).connect(name, stream)).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// Lets a link lead to another folder, in one step, as Kubernetes does.
fn swap(link: &Path, to: &Path) {
    let next = link.with_extension("next");
    std::os::unix::fs::symlink(to, &next).unwrap();
    std::fs::rename(next, link).unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (first, second) = (write_pair(&path("1")), write_pair(&path("2")));
    swap(&path("data.link"), &path("1"));
    for name in ["tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(path("data.link").join(name), path(name)).unwrap();
    }
    let (certificate, key) = (path("tls.crt"), path("tls.key"));
    let tls_flags = ["--tls-certificate", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap(), "--drain-wait-s", "0"];
    let mut server = ServingChild::start(folder.path(), &tls_flags).await;
    let tls = trusting(&[&first, &second]);
    assert_eq!(shown(&server, &tls).await, first);
    let url = format!("https://localhost:{}", server.address.port());
    let settings = Settings::new(&url, DeviceId::new("phone").unwrap(), TokenSource::fixed("")).unwrap();
    let settings = Settings { tls: TlsTrust::Custom(Arc::clone(&tls)), ..settings };
    let (mut session, _) = wait_for("a welcome", Connection::connect(&settings, serve_token("alice"))).await.unwrap();

    // By itself, when the link leads elsewhere.
    swap(&path("data.link"), &path("2"));
    server.wait_for_log("certificate reloaded: its files have changed").await;
    assert_eq!(shown(&server, &tls).await, second);

    // A pair that does not fit changes nothing, after SIGHUP and by itself.
    let good = std::fs::read(path("2/tls.key")).unwrap();
    std::fs::copy(path("1/tls.key"), path("2/tls.key")).unwrap();
    server.signal("-HUP").await;
    let error = server.wait_for_log("\"target\":\"driftless::serve\"").await;
    assert!(error.contains("certificate reload failed") && error.contains("tls.crt and its key"), "{error}");
    assert_eq!(shown(&server, &tls).await, second);
    server.wait_for_log("settings reloaded").await;

    // After SIGHUP, at once: the files that changed are also found by themselves within seconds, and that has another line.
    std::fs::write(path("2/tls.key"), good).unwrap();
    swap(&path("data.link"), &path("1"));
    server.signal("-HUP").await;
    server.wait_for_log("\"message\":\"certificate reloaded\"").await;
    assert_eq!(shown(&server, &tls).await, first);

    // The session that began with the first certificate has lived through all of it.
    session.send(&driftless_protocol::ClientMessage::List).await.unwrap();
    assert!(wait_for("an answer", session.recv()).await.is_ok());
    let metrics = DeviceHttp::new(server.admin, "", "monitor").get("/metrics").await.body;
    let left = metrics.lines().find_map(|line| line.strip_prefix("driftless_tls_certificate_expires_seconds ")?.parse::<f64>().ok());
    assert!(left.is_some_and(|left| left > 86_400.0), "{metrics}");
    server.signal("-TERM").await;
    assert!(server.end().await.0.success());
}

#[tokio::test]
async fn a_certificate_that_openssl_made_is_trusted_with_ca() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    let mut openssl = tokio::process::Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-addext", names]);
    let made = wait_for("the certificate", openssl.args(["-keyout", &key, "-out", &certificate]).output()).await;
    if !made.is_ok_and(|output| output.status.success()) {
        return eprintln!("NOT TESTED: needs the command openssl");
    }
    // One port for all, so that the operator's command speaks TLS too.
    let flags = ["--tls-certificate", &certificate, "--tls-key", &key, "--admin-listen", "127.0.0.1:0", "--admin-key"];
    let operator_key = "an-operator-key-of-more-than-32-characters";
    let server = ServingChild::start(folder.path(), &[&flags[..], &[operator_key]].concat()).await;
    let port = server.address.port();
    let token = serve_token("alice");
    let run = async |arguments: &[&str]| {
        let output = wait_for("the command's end", driftless().args(arguments).output()).await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{port}");
        let put = ["client", "put", "d", "k=1", "--url", &url, "--token", &token];
        let find = ["identities", "--subject", "alice", "--url", &url, "--key", operator_key];
        for command in [&put[..], &find] {
            let (code, said) = run(command).await;
            assert!(code == Some(5) && said.contains("--ca FILE"), "{command:?}: {said}");
            let (code, said) = run(&[command, &["--ca", &certificate]].concat()).await;
            assert_eq!((code, said.contains("error")), (Some(0), false), "{command:?}: {said}");
        }
    }
    // Another certificate of the same name is not the server's.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(path("other.pem"), other.cert.pem()).unwrap();
    let url = format!("https://localhost:{port}");
    let (code, said) = run(&["client", "get", "d", "k", "--url", &url, "--token", &token, "--ca", &path("other.pem")]).await;
    assert!(code == Some(5) && said.contains("certificate"), "{said}");
    let (code, said) = run(&["client", "get", "d", "k", "--url", &url, "--token", &token, "--ca", &path("key.pem")]).await;
    assert!(code == Some(1) && said.contains("--ca") && said.contains("no certificate"), "{said}");
}
