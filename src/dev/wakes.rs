//! Connects the demo page's phones to the stand-in push gateway: gives each phone a token, and serves the wakes that were pushed to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use driftless_protocol::DeviceId;
use serde::Deserialize;
use serde_json::{Value, json};

use driftless_standin::{ApnsEnvironment, StandInGateway};

/// The app that the phones register for.
pub const APP: &str = "com.example.demo";

/// The largest number of known phones. When there are more, all earlier ones are forgotten.
const MAX_PHONES: usize = 1000;

/// How many of the newest wakes a phone is shown.
const MAX_SHOWN_WAKES: usize = 5;

#[derive(Clone)]
struct DemoPhones {
    gateway: StandInGateway,
    tokens: Arc<Mutex<HashMap<DeviceId, String>>>,
    wake_after_ms: u64,
}

#[derive(Deserialize)]
struct PhoneQuery {
    device: DeviceId,
    #[serde(default)]
    since_ms: u64,
}

/// The routes of the page's push requests. `wake_after_ms`: how long the server waits for an acknowledgement before it wakes a phone.
pub fn wakes<S: Clone + Send + Sync + 'static>(gateway: StandInGateway, wake_after_ms: u64) -> Router<S> {
    let phones = DemoPhones { gateway, tokens: Arc::default(), wake_after_ms };
    Router::new().route("/demo/push", get(registration)).route("/demo/wakes", get(list_wakes)).with_state(phones)
}

impl DemoPhones {
    /// The push token of a phone. A new phone gets a new token.
    fn token(&self, device: DeviceId) -> String {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= MAX_PHONES && !tokens.contains_key(&device) {
            tokens.clear();
        }
        tokens.entry(device).or_insert_with(|| self.gateway.new_apns_token(APP, ApnsEnvironment::Production)).clone()
    }
}

async fn registration(State(phones): State<DemoPhones>, Query(query): Query<PhoneQuery>) -> Response {
    let token = phones.token(query.device);
    json_response(&json!({ "provider": "apns", "app": APP, "token": token, "wake_after_ms": phones.wake_after_ms }))
}

async fn list_wakes(State(phones): State<DemoPhones>, Query(PhoneQuery { device, since_ms }): Query<PhoneQuery>) -> Response {
    let token = phones.token(device);
    let pushes = phones.gateway.pushes_to(&token).into_iter().rev().filter(|push| push.at_ms >= since_ms).take(MAX_SHOWN_WAKES);
    let wakes: Vec<Value> = pushes
        .map(|push| {
            let data = push.data();
            json!({ "at_ms": push.at_ms, "dataset": data["dataset"], "version": data["version"] })
        })
        .collect();
    json_response(&json!({ "wakes": wakes }))
}

fn json_response(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], value.to_string()).into_response()
}
