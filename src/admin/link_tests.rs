//! A revocation that was acknowledged wins against a sign-in and a link that were checked before it.

use std::sync::Arc;

use driftless_protocol::{DeviceId, Epoch};
use tempfile::TempDir;

use super::{Admin, DeviceAccess, DeviceLinkRequest, SecondSignIn};
use crate::auth::LEEWAY_S;
use crate::clock::Clock;
use crate::committer::{Committer, Reader, SignInRequest};
use crate::hub::{Hub, SessionSignals, Signal};
use crate::identity::{LinkOutcome, LoginName};
use crate::metrics::Metrics;
use crate::pools::Pools;
use crate::push::PushService;
use crate::store::{Admission, EngineConfig, Identity, LinkObstacle, Store};
use crate::sync::LoginToken;

struct LinkingNode {
    _folder: TempDir,
    admin: Admin,
    committer: Committer,
    hub: Hub,
    now_s: u64,
}

impl LinkingNode {
    /// A node on which alice and bob have signed in with a phone each.
    async fn start() -> LinkingNode {
        let folder = TempDir::new().expect("a folder");
        let store = Store::open(folder.path(), &EngineConfig::cached(16), &Epoch::new("e").expect("an epoch")).expect("opens");
        let (clock, hub) = (Clock::start(), Hub::default());
        let (committer, _) = Committer::start(store.clone(), hub.clone(), Metrics::default(), clock).expect("starts");
        let reader = Reader::start(store).expect("starts");
        let admin = Admin::new(reader, committer.clone(), Pools::default(), PushService::default(), clock);
        let node = LinkingNode { _folder: folder, admin, committer, hub, now_s: clock.unix_ms() / 1000 };
        for subject in ["alice", "bob"] {
            assert_eq!(node.sign_in(subject, "phone", node.now_s).await, Admission::Admitted);
        }
        node
    }

    /// What the writer decides on a device whose token was verified before.
    async fn sign_in(&self, subject: &str, device: &str, issued_s: u64) -> Admission {
        let request = SignInRequest {
            pool: "demo".into(),
            issuer: "i".into(),
            subject: subject.to_owned(),
            issued_s: Some(issued_s),
            new_identity: identity(subject),
            fallback_identity: identity("unused"),
            device: Some(named(device)),
            max_devices: 9,
        };
        let (signed_in, admission) = self.committer.sign_in(request).await.expect("decides");
        assert_eq!(signed_in, identity(subject));
        admission
    }

    async fn revoke(&self, subject: &str, access: DeviceAccess) -> Option<u64> {
        self.admin.set_device_access(identity(subject), named("phone"), access).await.expect("commits").expect("known")
    }

    /// A link whose tokens were verified before.
    async fn link(&self, first: (&str, u64), second: (&str, u64)) -> SecondSignIn {
        let token =
            |(subject, issued_s): (&str, u64)| LoginToken { issuer: "i".into(), subject: subject.to_owned(), issued_s: Some(issued_s) };
        let (first_subject, pool) = (first.0, Arc::from("demo"));
        let request = DeviceLinkRequest {
            pool,
            identity: identity(first_subject),
            device: named("phone"),
            first: token(first),
            second: token(second),
        };
        self.admin.link_or_merge(request).await.expect("decides").expect("there")
    }
}

fn identity(subject: &str) -> Identity {
    Identity::from(format!("local:{subject}").as_str())
}

fn named(device: &str) -> DeviceId {
    DeviceId::new(device).expect("a device")
}

#[tokio::test]
async fn a_device_whose_token_was_refused_since_it_was_verified_is_not_admitted_and_leaves_nothing() {
    let node = LinkingNode::start().await;
    let until_s = node.revoke("alice", DeviceAccess::RevokedWithTokens).await.expect("a date");
    assert!(until_s >= node.now_s + LEEWAY_S, "an issuer's clock may be ahead by the leeway");
    assert_eq!(node.sign_in("alice", "stolen", until_s).await, Admission::TokenRefused { until_s });
    assert_eq!(node.sign_in("alice", "phone", until_s + 1).await, Admission::Revoked);
    assert_eq!(node.sign_in("alice", "laptop", until_s + 1).await, Admission::Admitted);
    let devices = node.admin.devices(identity("alice")).await.expect("reads").expect("there");
    let names: Vec<_> = devices.iter().map(|state| state.device.device.as_str()).collect();
    assert_eq!(names, ["phone", "laptop"]);
}

#[tokio::test]
async fn a_link_that_was_checked_before_a_revocation_is_refused() {
    let node = LinkingNode::start().await;
    let now_s = node.now_s;
    node.revoke("alice", DeviceAccess::Revoked).await;
    for second in ["bob", "new"] {
        let refused = SecondSignIn::Refused(LinkObstacle::DeviceRevoked);
        assert_eq!(node.link(("alice", now_s), (second, now_s)).await, refused, "neither a merge nor a link");
    }
    node.revoke("alice", DeviceAccess::Allowed).await;
    let until_s = node.revoke("alice", DeviceAccess::RevokedWithTokens).await.expect("a date");
    node.revoke("alice", DeviceAccess::Allowed).await;
    for second in ["bob", "new"] {
        assert_eq!(
            node.link(("alice", now_s), (second, now_s)).await,
            SecondSignIn::Refused(LinkObstacle::FirstRefused { until_s }),
            "the token of the device itself"
        );
    }
    let stolen = SecondSignIn::Refused(LinkObstacle::SecondRefused { until_s });
    assert_eq!(node.link(("bob", now_s), ("alice", now_s)).await, stolen, "the thief's identity is not merged into alice's");
    assert_eq!(node.admin.summary(identity("bob")).await.expect("reads").map(|summary| summary.pool), Ok("demo".to_owned()));
    let merged = SecondSignIn::SignedIn { identity: identity("alice"), merged: true };
    assert_eq!(node.link(("bob", now_s), ("alice", until_s + 1)).await, merged, "with a new token it is");
}

#[tokio::test]
async fn a_login_that_is_linked_already_is_no_news() {
    let node = LinkingNode::start().await;
    let signals = Arc::new(SessionSignals::new(1));
    node.hub.add_session(identity("alice").text(), &named("phone"), &signals);
    let linked = SecondSignIn::SignedIn { identity: identity("alice"), merged: false };
    assert_eq!(node.link(("alice", 1), ("new", 1)).await, linked);
    assert!(signals.wait().await.contains(Signal::LoginsChanged));
    assert_eq!(node.link(("alice", 1), ("new", 1)).await, linked, "the answer is the same");
    assert_eq!(node.link(("alice", 1), ("alice", 1)).await, linked);
    let by_operator =
        |subject: &str| node.admin.link_login(identity("alice"), LoginName { issuer: "i".to_owned(), subject: subject.to_owned() });
    assert_eq!(by_operator("new").await.expect("decides"), Ok(LinkOutcome::Known));
    // Signals are raised before the reply.
    assert!(futures_util::FutureExt::now_or_never(signals.wait()).is_none(), "no session is told");
    assert_eq!(by_operator("tv").await.expect("decides"), Ok(LinkOutcome::Linked));
    assert!(signals.wait().await.contains(Signal::LoginsChanged));
}
