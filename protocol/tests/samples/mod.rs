//! One message of every type, and one for each combination of optional fields that changes its shape.

use driftless_protocol::{
    Change, ClientMessage, CloseCode, Content, DatasetInfo, DatasetName, DeviceId, Epoch, Key, Limits, LinkedLogin, Op, Position, Provider,
    PushLossReason, PushLost, PushTarget, Record, RefusalCode, Registration, ServerMessage, Value, WebPushSubscription,
};

fn dataset() -> DatasetName {
    DatasetName::new("settings").unwrap()
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

fn epoch() -> Epoch {
    Epoch::new("0f3c5a7e9b1d4c6fa8e2d4b6c8f0a1b3").unwrap()
}

fn record(name: &str, content: Content, version: u64) -> Record {
    Record { key: key(name), content, version, modified_ms: 1_790_000_000_000, device: DeviceId::new("phone-1").unwrap() }
}

pub fn client_samples() -> Vec<(&'static str, ClientMessage)> {
    let token = || "header.claims.signature".to_owned();
    let position = Position { epoch: epoch(), version: 41 };
    let everything = r#"{"bool":true,"list":[null,1,-1,1.5,1e300],"map":{"":0},"max":18446744073709551615,"min":-9223372036854775808,"text":"ü\u0000\n"}"#;
    let every_op = vec![
        Change::new(key("theme"), Op::Put, value("\"dark\"")).with_base(40),
        Change::new(key("nothing"), Op::Put, value("null")),
        Change::new(key("every.value"), Op::Put, value(everything)),
        Change::new(key("old"), Op::Remove, None),
        Change::new(key("seen"), Op::Remove, None).with_base(0),
        Change::new(key("visits"), Op::Add, value("1")),
        Change::new(key("profile"), Op::Merge, value(r#"{"name":"Ann","age":null}"#)),
        Change::new(key("tags"), Op::Insert, value(r#"["a","b"]"#)),
        Change::new(key("ключ"), Op::Discard, value("[1]")),
    ];
    vec![
        (
            "hello",
            ClientMessage::Hello { token: token(), device: DeviceId::new("phone-1").unwrap(), client: "driftless-js/0.1.0".to_owned() },
        ),
        ("renew", ClientMessage::Renew { token: token() }),
        ("open from nothing", ClientMessage::Open { dataset: dataset(), position: None }),
        ("open at a position", ClientMessage::Open { dataset: dataset(), position: Some(position) }),
        ("close", ClientMessage::Close { dataset: dataset() }),
        ("list", ClientMessage::List),
        ("write with every operation", ClientMessage::Write { id: 17, dataset: dataset(), changes: every_op, offer: false }),
        (
            "write with the largest number",
            ClientMessage::Write { id: (1 << 53) - 1, dataset: dataset(), changes: Vec::new(), offer: false },
        ),
        (
            "write that offers again",
            ClientMessage::Write {
                id: 18,
                dataset: dataset(),
                changes: vec![Change::new(key("old"), Op::Remove, None).with_base(40)],
                offer: true,
            },
        ),
        ("ack", ClientMessage::Ack { dataset: dataset(), version: 42 }),
        (
            "register with apns",
            ClientMessage::Register(Registration {
                target: PushTarget::Apns("00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0".to_owned()),
                app: "com.example.app".to_owned(),
                datasets: Some(vec![dataset()]),
                shown: true,
            }),
        ),
        (
            "register with webpush",
            ClientMessage::Register(Registration {
                target: PushTarget::Webpush(WebPushSubscription {
                    endpoint: "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV".to_owned(),
                    p256dh: format!("B{}", "A".repeat(86)),
                    auth: "BTBZMqHH6r4Tts7J_aSIgg".to_owned(),
                }),
                app: "web".to_owned(),
                datasets: None,
                shown: false,
            }),
        ),
        ("unregister", ClientMessage::Unregister),
        ("ping", ClientMessage::Ping),
    ]
}

fn bye(code: CloseCode, message: Option<&str>, reconnect_after_ms: Option<u64>) -> ServerMessage {
    ServerMessage::Bye { code: code.code(), reason: code.reason().to_owned(), message: message.map(str::to_owned), reconnect_after_ms }
}

fn linked_login() -> LinkedLogin {
    LinkedLogin { issuer: "https://accounts.example.com".to_owned(), subject: "user-17".to_owned(), at_ms: 1_790_000_000_000 }
}

pub fn server_samples() -> Vec<(&'static str, ServerMessage)> {
    let dark = || record("theme", Content::Value(value("\"dark\"")), 42);
    let info = DatasetInfo { dataset: dataset(), epoch: epoch(), version: 42, records: 3, bytes: 120 };
    let changes = |reset, more, records| ServerMessage::Changes {
        dataset: dataset(),
        epoch: epoch(),
        from: 41,
        to: 42,
        reset,
        shared: None,
        more,
        fresh_until: None,
        records,
    };
    let mut samples = vec![
        (
            "welcome",
            ServerMessage::Welcome {
                identity: "local:3f2504e0-4f89-41d3-9a0c-0305e82c3301".to_owned(),
                session: "5f0c".to_owned(),
                patch: 16,
                heartbeat_s: 60,
                token_expires_in_s: 3600,
                limits: Limits::default(),
                merged: Vec::new(),
                linked: Vec::new(),
                push_lost: None,
                known_since_ms: None,
            },
        ),
        (
            "welcome to an identity that others were merged into",
            ServerMessage::Welcome {
                identity: "local:3f2504e0-4f89-41d3-9a0c-0305e82c3301".to_owned(),
                session: "5f0d".to_owned(),
                patch: 0,
                heartbeat_s: 60,
                token_expires_in_s: 3600,
                limits: Limits::default(),
                merged: vec!["local:8c1f1a52-6d0e-4a34-9b6e-2f0f5d1c7e90".to_owned()],
                linked: Vec::new(),
                push_lost: None,
                known_since_ms: None,
            },
        ),
        (
            "welcome of a device whose push token another user registered, with a linked login",
            ServerMessage::Welcome {
                identity: "local:3f2504e0-4f89-41d3-9a0c-0305e82c3301".to_owned(),
                session: "5f0e".to_owned(),
                patch: 16,
                heartbeat_s: 60,
                token_expires_in_s: 3600,
                limits: Limits::default(),
                merged: Vec::new(),
                linked: vec![linked_login()],
                push_lost: Some(PushLost { reason: PushLossReason::Moved, at_ms: 1_790_000_000_000 }),
                known_since_ms: Some(1_790_000_000_000),
            },
        ),
        ("linked", ServerMessage::Linked { logins: vec![linked_login()] }),
        ("changes, live", changes(false, false, vec![dark(), record("old", Content::Removed, 42)])),
        ("changes, first page of a reset", changes(true, true, vec![record("nothing", Content::Value(Value::null()), 42)])),
        ("changes, empty", changes(false, false, Vec::new())),
        (
            "changes, first page after a restored backup",
            ServerMessage::Changes {
                dataset: dataset(),
                epoch: epoch(),
                from: 0,
                to: 42,
                reset: true,
                shared: Some(40),
                more: false,
                fresh_until: None,
                records: vec![dark()],
            },
        ),
        (
            "changes over http, first page of several from nothing",
            ServerMessage::Changes {
                dataset: dataset(),
                epoch: epoch(),
                from: 0,
                to: 42,
                reset: false,
                shared: None,
                more: true,
                fresh_until: Some(97),
                records: vec![dark()],
            },
        ),
        ("datasets", ServerMessage::Datasets { datasets: vec![info] }),
        ("written", ServerMessage::Written { id: 17, version: 42, records: Vec::new() }),
        (
            "written with results",
            ServerMessage::Written { id: 17, version: 42, records: vec![record("visits", Content::Value(value("7")), 42)] },
        ),
        ("conflict", ServerMessage::Conflict { id: 17, dataset: dataset(), records: vec![dark()] }),
        (
            "refused without a patch",
            ServerMessage::Refused { id: None, dataset: None, code: RefusalCode::UnknownType, message: "unknown type fly".to_owned() },
        ),
        ("renew", ServerMessage::Renew { expires_in_s: 60 }),
        ("renewed", ServerMessage::Renewed { expires_in_s: 3600 }),
        ("registered", ServerMessage::Registered { provider: Provider::ApnsSandbox, app: "com.example.app".to_owned() }),
        ("unregistered", ServerMessage::Unregistered),
        ("pong", ServerMessage::Pong),
        ("bye with a time", bye(CloseCode::Restarting, None, Some(1830))),
        ("bye with a message", bye(CloseCode::TokenRefused, Some("the token has expired (leeway 60 s)"), None)),
    ];
    for code in RefusalCode::ALL {
        let refused = ServerMessage::Refused { id: Some(17), dataset: Some("settings".to_owned()), code: *code, message: "why".to_owned() };
        samples.push((code.as_str(), refused));
    }
    for code in CloseCode::ALL {
        samples.push((code.reason(), bye(*code, None, None)));
    }
    samples
}
