//! Devices that register and subscribe as Amazon Cognito's push sync has it.

use driftless_protocol::{DatasetName, DeviceId, PushTarget, Registration};

use crate::store::support::{dataset, device, me, store};
use crate::store::{CognitoRegistered, Identity, NewCognitoDevice, Store, SubscribeOutcome};

const POOL_ID: &str = "local:0123";

fn register(store: &Store, token: &str, id: &str, most_devices: usize) -> CognitoRegistered {
    let registration =
        Registration { target: PushTarget::Fcm(token.to_owned()), app: "app".to_owned(), datasets: Some(Vec::new()), shown: false };
    let new = NewCognitoDevice { registration, pool_id: POOL_ID.to_owned(), device: device(id), most_devices };
    let mut group = store.group();
    let registered = group.register_cognito(&me(), &new, 7).expect("decides");
    group.commit().expect("commits");
    registered
}

fn subscribe(store: &Store, identity: &Identity, device: &DeviceId, name: &DatasetName, is_added: bool) -> SubscribeOutcome {
    let mut group = store.group();
    let outcome = match is_added {
        true => group.subscribe(identity, device, name, 2),
        false => group.unsubscribe(identity, device, name),
    };
    group.commit().expect("commits");
    outcome.expect("decides")
}

/// The datasets that wake each device, and the pool that its wakes name.
fn targets(store: &Store) -> Vec<(String, usize, Option<String>)> {
    let targets = store.wake_targets(&me()).expect("reads");
    let one = |target: &crate::store::WakeTarget| {
        (target.device.as_str().to_owned(), target.datasets.as_ref().map_or(usize::MAX, Vec::len), target.cognito_pool.clone())
    };
    targets.iter().map(one).collect()
}

#[test]
fn a_device_begins_with_no_dataset_and_its_token_keeps_its_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let pool = Some(POOL_ID.to_owned());
    assert_eq!(register(&store, "token", "first", 9), CognitoRegistered::Device(device("first")));
    assert_eq!(targets(&store), [("first".to_owned(), 0, pool.clone())]);
    assert_eq!(subscribe(&store, &me(), &device("first"), &dataset(), true), SubscribeOutcome::Done);
    assert_eq!(register(&store, "token", "second", 9), CognitoRegistered::Device(device("first")), "the same token");
    assert_eq!(targets(&store), [("first".to_owned(), 1, pool.clone())], "and its subscriptions");
    assert_eq!(register(&store, "other", "second", 9), CognitoRegistered::Device(device("second")));
    assert_eq!(targets(&store).len(), 2);
    assert_eq!(store.devices(&me()).expect("reads").len(), 2);
}

#[test]
fn a_subscription_is_of_a_device_that_registered_so_and_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let named = |name: &str| DatasetName::new(name).expect("a name");
    let phone = device("phone");
    let of_me = |name: &str, is_added| subscribe(&store, &me(), &phone, &named(name), is_added);
    assert_eq!(of_me("a", true), SubscribeOutcome::NoDevice);
    register(&store, "token", "phone", 9);
    assert_eq!(of_me("a", false), SubscribeOutcome::NotSubscribed);
    assert_eq!([of_me("a", true), of_me("a", true), of_me("b", true)], [SubscribeOutcome::Done; 3]);
    assert_eq!(of_me("c", true), SubscribeOutcome::TooMany);
    assert_eq!([of_me("a", false), of_me("c", true)], [SubscribeOutcome::Done; 2]);
    assert_eq!(subscribe(&store, &Identity::from("local:2"), &phone, &named("a"), true), SubscribeOutcome::NoDevice, "another's device");

    let mut group = store.group();
    let target = PushTarget::Fcm("socket".to_owned());
    let registration = Registration { target, app: "app".to_owned(), datasets: None, shown: false };
    group.register(&me(), &phone, &registration, 8).expect("decides");
    group.commit().expect("commits");
    assert_eq!(of_me("a", true), SubscribeOutcome::NoDevice, "it registered over a socket since, for all datasets");
    assert_eq!(targets(&store), [("phone".to_owned(), usize::MAX, None)]);
}
