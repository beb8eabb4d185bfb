//! The payloads that `PROTOCOL.md` §9 shows are those that the gateways are sent.

use bytes::Bytes;
use http::Request;
use http::header::HeaderValue;
use serde_json::{Value, json};

use super::apns::{ApnsRequest, PayloadSize};
use super::endpoint::{AddressPolicy, Endpoint};
use super::fcm::FcmRequest;
use super::payload::{AlertText, PayloadFormat, Wake, WakePayload};
use super::support::{NOW_MS, wake};
use super::webpush;
use super::webpush_receiver::WebpushReceiver;

/// The block of the document that is marked with this name.
fn example(name: &str) -> Value {
    let document = include_str!("../../../protocol/PROTOCOL.md");
    let (_, rest) = document.split_once(&format!("```json {name}\n")).expect(name);
    serde_json::from_str(rest.split("```").next().expect("an end")).expect(name)
}

fn example_wake(alert: Option<AlertText>) -> Wake {
    Wake { identity: "local:3f2504e0-4f89-41d3-9a0c-0305e82c3301".to_owned(), version: 42, alert, ..wake() }
}

fn example_alert() -> AlertText {
    AlertText { title: "New data".to_owned(), text: "Open the app to see it".to_owned() }
}

fn json_of(request: http::Result<Request<Bytes>>) -> Value {
    serde_json::from_slice(request.expect("a request").body()).expect("JSON")
}

fn to_apns(wake: &Wake, format: &PayloadFormat) -> Value {
    let (server, payload) = ("https://apns.example".parse().expect("an address"), WakePayload::new(wake, format));
    let (token, topic, size) = ("00", "com.example.app", PayloadSize::Full);
    json_of(ApnsRequest { server: &server, token, topic, authorization: None, payload: &payload, size }.build())
}

fn to_fcm(wake: &Wake, format: &PayloadFormat) -> Value {
    let (server, payload) = ("https://fcm.example".parse().expect("an address"), WakePayload::new(wake, format));
    let authorization = HeaderValue::from_static("Bearer x");
    let mut body =
        json_of(FcmRequest { server: &server, project: "p", token: "t", authorization, payload: &payload, now_ms: NOW_MS }.build());
    body["message"].take()
}

fn to_webpush(wake: &Wake, format: &PayloadFormat) -> Value {
    let receiver = WebpushReceiver::of_rfc_8291();
    let endpoint = Endpoint::new(&receiver.subscription("https://push.example/1"), AddressPolicy::PublicOnly).expect("usable");
    let request = webpush::request(&endpoint, HeaderValue::from_static("vapid x"), &WakePayload::new(wake, format), NOW_MS);
    serde_json::from_slice(&receiver.decrypt(request.expect("a request").body())).expect("JSON")
}

#[test]
fn the_payload_of_each_gateway_is_the_one_of_the_document() {
    let (silent, format) = (example_wake(None), PayloadFormat::default());
    assert_eq!(to_apns(&silent, &format), example("apns"));
    assert_eq!(to_fcm(&silent, &format)["data"], example("fcm-android"));
    assert_eq!(to_webpush(&silent, &format), example("webpush"));
    // FCM gives an iOS app the data beside `aps`.
    let mut on_ios = example("fcm-ios");
    let aps = on_ios.as_object_mut().and_then(|members| members.remove("aps"));
    assert_eq!((aps, on_ios), (Some(json!({"content-available": 1})), example("fcm-android")));
}

#[test]
fn the_shown_wake_and_cognitos_form_are_those_of_the_document() {
    let (shown, format) = (example_wake(Some(example_alert())), PayloadFormat::default());
    assert_eq!(to_webpush(&shown, &format), example("webpush-shown"));
    let words = json!({"title": "New data", "body": "Open the app to see it"});
    assert_eq!(to_apns(&shown, &format)["aps"]["alert"], words);
    assert_eq!(to_fcm(&shown, &format)["notification"], words);
    let (silent, cognito) = (example_wake(None), PayloadFormat { cognito: true, name_hash_key: None });
    let payloads = [to_apns(&silent, &cognito)["data"].clone(), to_fcm(&silent, &cognito)["data"].clone(), to_webpush(&silent, &cognito)];
    assert_eq!(payloads, [example("cognito"), example("cognito"), example("cognito")]);
}
