//! A server whose pool wakes its devices through a stand-in gateway.

use std::path::Path;

use driftless_protocol::{ClientMessage, PushTarget, Registration, ServerMessage};
use driftless_standin::{ApnsEnvironment, StandInGateway};

use super::{Phone, Server, TestPool};

/// The app that the phones have.
pub const APP: &str = "com.example.app";

/// What a pool says to wake its devices through a gateway. `more` are lines of `[pools.demo.push]`, `wakes` of `[pools.demo.wakes]`.
pub fn pool(gateway: &StandInGateway, more: &str, wakes: &str) -> String {
    let credentials = gateway.credentials();
    pool_with_key(gateway, more, wakes, (&credentials.apns_key, credentials.apns_key_id))
}

/// The same with another key of Apple's.
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

/// A server with such a pool, and a short grace.
pub async fn server(gateway: &StandInGateway) -> Server {
    server_with(gateway, "", "grace_ms = 100").await
}

pub async fn server_with(gateway: &StandInGateway, more: &str, wakes: &str) -> Server {
    // A test's pool lives as long as the test.
    let pool = Box::leak(pool(gateway, more, wakes).into_boxed_str());
    Server::with(TestPool { pool, ..TestPool::default() }).await
}

/// A server whose pool says something else in one place.
pub async fn server_but(gateway: &StandInGateway, what: &str, instead: &str) -> Server {
    let pool = pool(gateway, "", "grace_ms = 100");
    assert!(pool.contains(what), "{pool}");
    let pool = Box::leak(pool.replace(what, instead).into_boxed_str());
    Server::with(TestPool { pool, ..TestPool::default() }).await
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

impl Phone {
    /// Registers, and hears that it stands.
    pub async fn registers(&mut self, registration: Registration) {
        let (provider, app) = (registration.target.provider(), registration.app.clone());
        self.say(ClientMessage::Register(registration)).await;
        assert_eq!(self.hear().await, ServerMessage::Registered { provider, app });
    }
}

/// A device that registered and went.
pub async fn asleep(server: &Server, person: &str, device: &str, target: PushTarget) {
    asleep_with(server, person, device, registration(target)).await;
}

pub async fn asleep_with(server: &Server, person: &str, device: &str, registration: Registration) {
    let mut phone = server.phone(person, device).await;
    phone.registers(registration).await;
}
