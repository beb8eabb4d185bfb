//! Nobody is woken after an erasure, also by a wake that waits for its gateway.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use driftless_protocol::{Change, DatasetName, DeviceId, Epoch, Key, Op, PushTarget, Registration, Value};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

use super::Admin;
use crate::auth::OutboundProxy;
use crate::clock::Clock;
use crate::committer::{Committer, JobOwner, Reader};
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::pools::Pools;
use crate::push::{ApnsConfig, Courier, PoolPush, PushConfig, PushService, WakeSettings};
use crate::store::{DatasetRules, Decision, DeviceBound, EngineConfig, Group, Identity, LoginKey, Patch, RegisterOutcome, Store};

const APP: &str = "org.example.notes";

/// A gateway that takes connections and does not speak before it is opened. It tells of each connection, and then of the token of each wake.
struct ClosedGateway {
    server: String,
    connections: mpsc::UnboundedReceiver<()>,
    woken: mpsc::UnboundedReceiver<String>,
    opened: Arc<Semaphore>,
}

impl ClosedGateway {
    async fn start() -> ClosedGateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = format!("http://{}", listener.local_addr().expect("an address"));
        let (connected, connections) = mpsc::unbounded_channel();
        let (woke, woken) = mpsc::unbounded_channel();
        let opened = Arc::new(Semaphore::new(0));
        let gate = Arc::clone(&opened);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (gate, woke) = (Arc::clone(&gate), woke.clone());
                let _ = connected.send(());
                tokio::spawn(async move {
                    drop(gate.acquire().await);
                    let Ok(mut http2) = h2::server::handshake(socket).await else { return };
                    while let Some(Ok((request, mut respond))) = http2.accept().await {
                        let token = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
                        let _ = woke.send(token);
                        let _ = respond.send_response(http::Response::new(()), true);
                    }
                });
            }
        });
        ClosedGateway { server, connections, woken, opened }
    }

    fn push_service(&self, folder: &Path) -> PushService {
        let file = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        let key = rcgen::KeyPair::generate().expect("a key");
        let root = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name").self_signed(&key).expect("a certificate");
        let apns = ApnsConfig {
            app: APP.to_owned(),
            server: Some(self.server.clone()),
            key_file: Some(file("key.p8", key.serialize_pem())),
            key_id: Some("KEY".to_owned()),
            team_id: Some("TEAM".to_owned()),
            authority_file: Some(file("root.pem", root.pem())),
            ..ApnsConfig::default()
        };
        let config = PushConfig { apns: vec![apns], ..PushConfig::default() };
        let wakes = WakeSettings { grace_ms: 1, ..WakeSettings::default() };
        let pool = PoolPush::new(&config, wakes, &OutboundProxy::default()).expect("usable settings");
        PushService::new(HashMap::from([("demo".to_owned(), pool)]))
    }
}

fn identity(subject: &str) -> Identity {
    Identity::from(format!("local:{subject}").as_str())
}

fn named(device: &str) -> DeviceId {
    DeviceId::new(device).expect("a device")
}

/// A person with a registered phone, and a write from their laptop.
fn owe_a_wake(group: &mut Group<'_>, subject: &str, token: &str, now_ms: u64) -> Decision {
    let login = LoginKey { pool: "demo", issuer: "i", subject };
    let identity = group.identity(login, &identity(subject), now_ms).expect("decides");
    for device in ["phone", "laptop"] {
        group.admit(&identity, &named(device), &DeviceBound::without_sessions(9), now_ms).expect("decides");
    }
    let registration = Registration { target: PushTarget::Apns(token.to_owned()), app: APP.to_owned(), datasets: None, shown: false };
    assert_eq!(group.register(&identity, &named("phone"), &registration, now_ms), Ok(RegisterOutcome::Done));
    let change = Change::new(Key::new("k").expect("a key"), Op::Put, Some(Value::from(1)));
    let dataset = DatasetName::new("d").expect("a name");
    let patch = Patch { identity, device: named("laptop"), dataset, id: 1, changes: vec![change] };
    group.write(&patch, &DatasetRules::default(), now_ms).expect("decides")
}

#[tokio::test]
async fn a_wake_that_waits_for_its_gateway_is_not_sent_after_an_erasure() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("data"), &EngineConfig::cached(16), &Epoch::new("e").expect("an epoch")).expect("opens");
    let (clock, metrics) = (Clock::start(), Metrics::default());
    let (committer, _) = Committer::start(store.clone(), Hub::default(), metrics.clone(), clock).expect("starts");
    let reader = Reader::start(store).expect("starts");
    let mut gateway = ClosedGateway::start().await;
    let push = gateway.push_service(folder.path());
    let admin = Admin::new(reader.clone(), committer.clone(), Pools::default(), push.clone(), clock);
    let courier = tokio::spawn(Courier::new(reader, committer.clone(), push, clock, metrics).run());
    let write = async |subject: &'static str, token: &'static str| {
        let decide = move |group: &mut Group<'_>, now_ms| Ok((owe_a_wake(group, subject, token, now_ms), Vec::new()));
        let decision = committer.transact(JobOwner::Store, decide).await.expect("commits");
        assert!(matches!(decision, Decision::Written { .. }), "{decision:?}");
    };
    write("alice", "00aa").await;
    gateway.connections.recv().await.expect("alice's wake waits for a connection");
    let erased = admin.erase(identity("alice")).await.expect("commits").expect("is there");
    assert!(erased.finished);
    gateway.opened.add_permits(1);
    write("bob", "00bb").await;
    assert_eq!(gateway.woken.recv().await.as_deref(), Some("00bb"), "hers would have been the first on the connection");
    courier.abort();
}
