//! Serves the demo page and its tokens.

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use qrcode::QrCode;
use qrcode::render::svg;

use super::{DEFAULT_URL, PERSON, outside_addresses, token};
use crate::invocation;

/// The lifetime of a page's token, in seconds: short, so that a page that stays open renews its token.
const PAGE_TOKEN_S: u64 = 600;

/// Allows only files of this server, and nothing inline.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("demo/", $name)).as_slice())),*]
    };
}

const FILES: &[(&str, &[u8])] = files![
    "style.css",
    "icon.svg",
    "app.js",
    "change.js",
    "copy.js",
    "device.js",
    "phone.js",
    "previous_replica.js",
    "records.js",
    "session.js",
    "texts.js",
    "wakes.js",
];

const INDEX: &str = include_str!("demo/index.html");

/// Where the index shows how a real phone opens the page.
const REAL_PHONE_MARK: &str = "<!-- real phone -->";

/// The command that the index shows, with the name of an installed program.
const SHOWN_COMMAND: &str = "driftless client put";

/// Where the index completes the command with the server's address.
const URL_MARK: &str = "<!-- url -->";

/// The routes of the page, under `/demo/`, of a server that listens at this address.
pub fn routes<S: Clone + Send + Sync + 'static>(listen: IpAddr) -> Router<S> {
    let page = Router::new()
        // Relative, so that they hold behind a proxy that serves this below a path.
        .route("/", get(|| async { Redirect::temporary("demo/") }))
        .route("/demo", get(|| async { Redirect::permanent("demo/") }))
        .route("/demo/", get(move |headers: HeaderMap| async move { index(listen, &headers) }))
        .route("/demo/address.svg", get(move |headers: HeaderMap| async move { address_code(listen, &headers) }))
        .route("/demo/token", get(page_token));
    FILES.iter().fold(page, |router, one| router.route(&format!("/demo/{}", one.0), get(|| async { respond_with_file(*one) })))
}

/// The page, with the addresses of this server. They are part of it, so that nothing on the page moves when they arrive.
fn index(listen: IpAddr, headers: &HeaderMap) -> Response {
    let url = match host(headers) {
        Some(host) if format!("http://{host}") != DEFAULT_URL => format!(" --url http://{host}"),
        _ => String::new(),
    };
    let real_phone = phone_address(listen, headers).map_or_else(String::new, |address| {
        format!(
            "<div class=\"real-phone\" data-testid=\"real-phone\"><img src=\"address.svg\" alt=\"QR code of the address\" width=\"112\" \
             height=\"112\"><p>On a real phone in the same network, open <a href=\"{address}\">{address}</a></p></div>"
        )
    });
    let program = invocation::name().replace('&', "&amp;").replace('<', "&lt;");
    let page = INDEX.replace(SHOWN_COMMAND, &format!("{program} client put"));
    respond_with_page("index.html", page.replace(URL_MARK, &url).replace(REAL_PHONE_MARK, &real_phone))
}

/// The address of the page for a phone, as a QR code.
fn address_code(listen: IpAddr, headers: &HeaderMap) -> Response {
    let code = phone_address(listen, headers).and_then(|address| QrCode::new(address).ok());
    let image = code.map_or_else(String::new, |code| code.render::<svg::Color<'_>>().build());
    respond_with_page("address.svg", image)
}

/// The page's address on another machine, at the port that the browser has used. The port that the server listens on can be another one, behind
/// a container's port mapping.
fn phone_address(listen: IpAddr, headers: &HeaderMap) -> Option<String> {
    let address = *outside_addresses(listen).first()?;
    let port = host(headers)?.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(80);
    Some(format!("http://{}/demo/", SocketAddr::new(address, port)))
}

/// The `Host` of a request, if it can stand in a page as it is.
fn host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte)).then_some(host)
}

async fn page_token() -> Response {
    match token(PERSON, PAGE_TOKEN_S) {
        Ok(token) => {
            let body = serde_json::json!({ "token": token, "expires_in_s": PAGE_TOKEN_S }).to_string();
            ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
        }
        Err(error) => error.to_string().into_response(),
    }
}

fn respond_with_page(name: &'static str, content: String) -> Response {
    (page_headers(name), content).into_response()
}

fn respond_with_file((name, content): (&'static str, &'static [u8])) -> Response {
    (page_headers(name), content).into_response()
}

fn page_headers(name: &str) -> [(HeaderName, HeaderValue); 4] {
    let content_type = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    };
    [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ]
}
