//! A server whose pool wakes its devices through a stand-in gateway.

use std::path::Path;

use driftless_protocol::{ClientMessage, PushLost, PushTarget, Registration, ServerMessage};
use driftless_standin::{ApnsEnvironment, StandInGateway};

use super::{TestDevice, TestPool, TestServer};

/// The app that every device of these tests registers.
pub const APP: &str = "com.example.app";

/// The settings of a pool that wakes its devices through a gateway. `more` are lines of `[pools.demo.push]`, `wakes` of `[pools.demo.wakes]`.
pub fn pool(gateway: &StandInGateway, more: &str, wakes: &str) -> String {
    let credentials = gateway.credentials();
    pool_with_key(gateway, more, wakes, (&credentials.apns_key, credentials.apns_key_id))
}

/// The same with another APNs key.
pub fn pool_with_key(gateway: &StandInGateway, more: &str, wakes: &str, (key, key_id): (&Path, &str)) -> String {
    let credentials = gateway.credentials();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let authority = path(&credentials.authority);
    format!(
        "[pools.demo.wakes]\n{wakes}\n[pools.demo.push]\ntitle = \"Something new\"\ntext = \"Open the app\"\n{more}\n\
         [[pools.demo.push.apns]]\napp = {APP:?}\nserver = {:?}\nsandbox_server = {:?}\nkey_file = {:?}\nkey_id = {:?}\nteam_id = {:?}\n\
         authority_file = {authority:?}\n\
         [[pools.demo.push.fcm]]\napp = {APP:?}\nserver = {:?}\nservice_account_file = {:?}\nauthority_file = {authority:?}\n\
         [[pools.demo.push.webpush]]\napp = {APP:?}\nvapid_key_file = {:?}\ncontact = \"mailto:push@example.com\"\n\
         authority_file = {authority:?}\nallow_private = true\n",
        gateway.url(),
        gateway.sandbox_url(),
        path(key),
        key_id,
        credentials.apns_team_id,
        gateway.url(),
        path(&credentials.service_account),
        path(&credentials.vapid_key),
    )
}

/// Starts a server with such a pool and a grace of 100 ms.
pub async fn start_server(gateway: &StandInGateway) -> TestServer {
    start_server_with(gateway, "", "grace_ms = 100").await
}

pub async fn start_server_with(gateway: &StandInGateway, more: &str, wakes: &str) -> TestServer {
    // Leaked: the settings live as long as the test's process.
    let pool = Box::leak(pool(gateway, more, wakes).into_boxed_str());
    TestServer::with_pool(TestPool { pool, ..TestPool::default() }).await
}

/// Starts a server with such a pool in which one text is replaced.
pub async fn start_server_replacing(gateway: &StandInGateway, what: &str, instead: &str) -> TestServer {
    let pool = pool(gateway, "", "grace_ms = 100");
    assert!(pool.contains(what), "{pool}");
    let pool = Box::leak(pool.replace(what, instead).into_boxed_str());
    TestServer::with_pool(TestPool { pool, ..TestPool::default() }).await
}

pub fn apns(gateway: &StandInGateway) -> PushTarget {
    PushTarget::Apns(gateway.new_apns_token(APP, ApnsEnvironment::Production))
}

pub fn fcm(gateway: &StandInGateway) -> PushTarget {
    PushTarget::Fcm(gateway.new_fcm_token(APP))
}

pub fn webpush(gateway: &StandInGateway) -> PushTarget {
    PushTarget::Webpush(gateway.new_subscription())
}

pub fn registration(target: PushTarget) -> Registration {
    Registration { target, app: APP.to_owned(), datasets: None, shown: false }
}

impl TestDevice {
    /// Registers for pushes, which the server must accept.
    pub async fn register(&mut self, registration: Registration) {
        let (provider, app) = (registration.target.provider(), registration.app.clone());
        self.send_message(ClientMessage::Register(registration)).await;
        assert_eq!(self.receive().await, ServerMessage::Registered { provider, app });
    }
}

impl TestServer {
    /// What the welcome of a device says of its push token.
    pub async fn push_lost(&self, person: &str, device: &str) -> Option<PushLost> {
        self.device(person, device).await.welcome.push_lost
    }
}

/// Connects a device, registers it for pushes and disconnects it.
pub async fn register_offline(server: &TestServer, person: &str, device: &str, target: PushTarget) {
    register_offline_with(server, person, device, registration(target)).await;
}

/// The same for alice's phone; returns the address by which the gateway knows it.
pub async fn register_phone(server: &TestServer, target: PushTarget) -> String {
    let address = target.address().to_owned();
    register_offline(server, "alice", "phone", target).await;
    address
}

pub async fn register_offline_with(server: &TestServer, person: &str, device: &str, registration: Registration) {
    let mut phone = server.device(person, device).await;
    phone.register(registration).await;
}
