//! Serves the demo page and its tokens.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use super::{PERSON, token};

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
    "index.html",
    "style.css",
    "icon.svg",
    "app.js",
    "change.js",
    "device.js",
    "phone.js",
    "previous_replica.js",
    "records.js",
    "session.js",
    "texts.js",
    "wakes.js",
];

/// The routes of the page, under `/demo/`.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let page = Router::new()
        .route("/", get(|| async { Redirect::temporary("/demo/") }))
        .route("/demo", get(|| async { Redirect::permanent("/demo/") }))
        .route("/demo/", get(|| async { respond_with_file(FILES[0]) }))
        .route("/demo/token", get(page_token));
    FILES.iter().fold(page, |router, one| router.route(&format!("/demo/{}", one.0), get(|| async { respond_with_file(*one) })))
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

fn respond_with_file((name, content): (&'static str, &'static [u8])) -> Response {
    let content_type = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    };
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, content).into_response()
}
