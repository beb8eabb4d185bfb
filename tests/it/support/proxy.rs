//! Real proxies, with the configurations of Debian's packages and the blocks of `docs/proxies.md`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::wait_for;

const PAGE: &str = include_str!("../../../docs/proxies.md");

/// What the blocks of the page are told by: the language after the fence, and their order.
fn block(language: &str, index: usize) -> String {
    let fence = format!("```{language}\n");
    let text = PAGE.split(&fence).nth(index + 1).unwrap_or_else(|| panic!("docs/proxies.md has no block {index} of {language}"));
    text.split("```").next().unwrap().to_owned()
}

/// A proxy in front of a server, without TLS: at `/` and below `/sync/`.
pub struct Proxy {
    _child: Child,
    _folder: TempDir,
    pub url: String,
}

impl Proxy {
    /// nginx, which closes a connection after `timeout_s` seconds in which the server sends nothing.
    pub async fn nginx(server: SocketAddr, timeout_s: u32) -> Proxy {
        let site =
            block("nginx", 0).replace("proxy_http_version 1.1;", &format!("proxy_http_version 1.1; proxy_read_timeout {timeout_s}s;"));
        Proxy::nginx_with(server, &site).await
    }

    /// nginx as a first attempt has it: a proxy_pass and nothing else.
    pub async fn bare_nginx(server: SocketAddr) -> Proxy {
        Proxy::nginx_with(server, "server {\n listen 443 ssl;\n location / {\n proxy_pass http://127.0.0.1:7400;\n }\n}\n").await
    }

    async fn nginx_with(server: SocketAddr, site: &str) -> Proxy {
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        let at = |name: &str| folder.path().join(name).display().to_string();
        let site = site.lines().filter(|line| !line.contains("ssl_certificate")).collect::<Vec<_>>().join("\n");
        let site = replaced(&site, "listen 443 ssl;", &format!("listen 127.0.0.1:{port};"));
        let site = replaced(&site, "127.0.0.1:7400", &server.to_string());
        // Paths of its own: a site that the machine has already is not disturbed.
        let site = match site.contains("upstream driftless") {
            true => replaced(&site, "    location / {", &format!("{}\n    location / {{", block("nginx", 1))),
            false => site,
        };
        std::fs::write(at("site.conf"), site).unwrap();
        let main = std::fs::read_to_string("/etc/nginx/nginx.conf").expect("nginx is installed: see CONTRIBUTING.md");
        let main = main.lines().filter(|line| !line.contains("sites-enabled")).collect::<Vec<_>>().join("\n");
        let main = replaced(&main, "/run/nginx.pid", &at("pid"));
        let main = main.replace("/var/log/nginx", &at(""));
        let main = replaced(&main, "/etc/nginx/conf.d/*.conf", &at("site.conf"));
        std::fs::write(at("nginx.conf"), main).unwrap();
        Proxy::start(Command::new("nginx").args(["-c", &at("nginx.conf"), "-g", "daemon off;"]), folder, port).await
    }

    /// HAProxy with the package's defaults, but for timeouts of `timeout_s` seconds.
    pub async fn haproxy(server: SocketAddr, timeout_s: u32) -> Proxy {
        Proxy::haproxy_with(server, timeout_s, "check").await
    }

    /// HAProxy that names the client ahead of each connection, in version 2 of the PROXY protocol, and checks the server's health ten times a second.
    pub async fn haproxy_with_proxy_header(server: SocketAddr, timeout_s: u32) -> Proxy {
        Proxy::haproxy_with(server, timeout_s, "check inter 100 fall 1 rise 1 send-proxy-v2").await
    }

    async fn haproxy_with(server: SocketAddr, timeout_s: u32, options: &str) -> Proxy {
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        let package = std::fs::read_to_string("/etc/haproxy/haproxy.cfg").expect("haproxy is installed: see CONTRIBUTING.md");
        let defaults = package.split_once("\ndefaults").map(|(_, rest)| format!("defaults{rest}")).unwrap();
        let defaults = replaced(&defaults, "50000", &format!("{timeout_s}s"));
        let site = replaced(&block("haproxy", 0), ":443 ssl crt /etc/haproxy/sync.example.com.pem", &format!("127.0.0.1:{port}"));
        let site = replaced(&site, "    server node1", &format!("{}    server node1", block("haproxy", 1)));
        let site = replaced(&site, "7400 check", &format!("7400 {options}"));
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, format!("{defaults}\n{}", replaced(&site, "127.0.0.1:7400", &server.to_string()))).unwrap();
        Proxy::start(Command::new("haproxy").args([Path::new("-db"), Path::new("-f"), &file]), folder, port).await
    }

    /// Caddy, which has no timeout.
    pub async fn caddy(server: SocketAddr) -> Proxy {
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        let site = replaced(&block("caddy", 0), "sync.example.com {", &format!("http://127.0.0.1:{port} {{\n{}", block("caddy", 1)));
        let file = folder.path().join("Caddyfile");
        let site = replaced(&site, "127.0.0.1:7400", &server.to_string());
        std::fs::write(&file, format!("{{\n    admin off\n}}\n{site}")).unwrap();
        let mut caddy = Command::new("caddy");
        caddy.args([Path::new("run"), Path::new("--adapter"), Path::new("caddyfile"), Path::new("--config"), &file]);
        caddy.envs([("HOME", folder.path()), ("XDG_DATA_HOME", folder.path()), ("XDG_CONFIG_HOME", folder.path())]);
        Proxy::start(&mut caddy, folder, port).await
    }

    async fn start(command: &mut Command, folder: TempDir, port: u16) -> Proxy {
        let log = std::fs::File::create(folder.path().join("output")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; see CONTRIBUTING.md"));
        wait_for("the proxy's port", async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                if let Some(status) = child.try_wait().unwrap() {
                    panic!("the proxy ended: {status}: {}", std::fs::read_to_string(folder.path().join("output")).unwrap());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        Proxy { _child: child, _folder: folder, url: format!("http://127.0.0.1:{port}") }
    }

    pub fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("http://").parse().unwrap()
    }
}

/// A text in which `from` occurs, with `to` instead: a page or a package that has changed is noticed.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from} in:\n{text}");
    text.replace(from, to)
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
