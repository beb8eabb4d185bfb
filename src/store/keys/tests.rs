use super::*;
use crate::store::user_names::{AliasName, CodeUse};
use crate::store::user_pool_id::PoolUserKey;

#[test]
fn keys_have_the_bytes_that_are_on_disk() {
    let identity_id = Identity::from("i:1");
    let account_id = AccountId::parse("123456789012").expect("an id");
    let pool_id = UserPoolId::parse("local_abc").expect("an id");
    let ann = PoolUserKey { pool: pool_id.clone(), name: "ann".into() };
    let dataset = DatasetName::new("d").expect("a name");
    let phone = DeviceId::new("phone").expect("a device");
    let record_key = Key::new("k").expect("a key");
    let cases = [
        (account(&account_id), r"@\x00\x0c123456789012A"),
        (account_key(&account_id, "AKIA"), r"@\x00\x0c123456789012C\x00\x04AKIA"),
        (identity_pool("p"), r"+\x00\x01p"),
        (account_number(2), r"N\x00\x00\x00\x00\x00\x00\x00\x02"),
        (account_record(RowKind::IamUser, &account_id, &["u"]), r"@\x00\x0c123456789012U\x00\x01u"),
        (account_record(RowKind::IamGroup, &account_id, &["g"]), r"@\x00\x0c123456789012E\x00\x01g"),
        (account_record(RowKind::IamRole, &account_id, &["r"]), r"@\x00\x0c123456789012R\x00\x01r"),
        (account_record(RowKind::ManagedPolicy, &account_id, &["p"]), r"@\x00\x0c123456789012P\x00\x01p"),
        (account_record(RowKind::PolicyVersion, &account_id, &["p", "v1"]), r"@\x00\x0c123456789012V\x00\x01p\x00\x02v1"),
        (account_record(RowKind::InlinePolicy, &account_id, &["user", "u", "p"]), r"@\x00\x0c123456789012I\x00\x04user\x00\x01u\x00\x01p"),
        (
            account_record(RowKind::PolicyAttachment, &account_id, &["p", "user", "u"]),
            r"@\x00\x0c123456789012T\x00\x01p\x00\x04user\x00\x01u",
        ),
        (account_record(RowKind::GroupMember, &account_id, &["g", "u"]), r"@\x00\x0c123456789012M\x00\x01g\x00\x01u"),
        (account_record(RowKind::PrincipalId, &account_id, &["AIDA"]), r"@\x00\x0c123456789012B\x00\x04AIDA"),
        (account_record(RowKind::OidcProvider, &account_id, &["a.example"]), r"@\x00\x0c123456789012O\x00\ta.example"),
        (access_key("AKIA"), r"K\x00\x04AKIA"),
        (account_bucket(&account_id, "box"), r"@\x00\x0c123456789012J\x00\x03box"),
        (of_bucket(RowKind::Bucket, "box"), r"$\x00\x03boxW"),
        (of_bucket(RowKind::Object, "box"), r"$\x00\x03boxQ"),
        (of_bucket(RowKind::Upload, "box"), r"$\x00\x03boxS"),
        (part("box", "u", 2), r"$\x00\x03boxX\x00\x01u\x00\x02"),
        (blob("b"), r"L\x00\x01b"),
        (user_pool(&pool_id), r"%\x00\tlocal_abc\x00\x00j"),
        (user_pool_client(&pool_id, "c"), r"%\x00\tlocal_abc\x00\x00c\x00\x01c"),
        (pool_signing_key(&pool_id, 5), r"%\x00\tlocal_abc\x00\x00Z\x00\x00\x00\x00\x00\x00\x00\x05"),
        (user(&ann), r"%\x00\tlocal_abc\x00\x03annz"),
        (user_code(&ann, CodeUse::SignUp), r"%\x00\tlocal_abc\x00\x03annD\x00\x06signup"),
        (family(&ann, "f"), r"%\x00\tlocal_abc\x00\x03annf\x00\x01f"),
        (account_user_pool(&account_id, &pool_id), r"H\x00\x0c123456789012\x00\tlocal_abc"),
        (client_pool("c"), r"F\x00\x01c"),
        (user_alias(&pool_id, AliasName { kind: "email", value: "a" }), r"Y\x00\tlocal_abc\x00\x05email\x00\x01a"),
        (keyring("sts/1"), r"G\x00\x05sts/1"),
        (meta("epoch"), r"m\x00\x05epoch"),
        (login("p", "iss", "sub"), r"l\x00\x01p\x00\x03iss\x00\x03sub"),
        (identity(&identity_id), r"#\x00\x03i:1i"),
        (identity_login(&identity_id, "p", "iss", "sub"), r"#\x00\x03i:1o\x00\x01p\x00\x03iss\x00\x03sub"),
        (device(&identity_id, &phone), r"#\x00\x03i:1d\x00\x05phone"),
        (patch(&identity_id, &phone, 2), r"#\x00\x03i:1p\x00\x05phone\x00\x02"),
        (ack(&identity_id, &phone, &dataset), r"#\x00\x03i:1a\x00\x05phone\x00\x01d"),
        (head(&identity_id, &dataset), r"#\x00\x03i:1h\x00\x01d"),
        (pointer(&identity_id, &dataset, &record_key), r"#\x00\x03i:1k\x00\x01d\x00\x01k"),
        (record(&identity_id, &dataset, 1, 2), r"#\x00\x03i:1v\x00\x01d\x00\x00\x00\x00\x00\x00\x00\x01\x00\x02"),
        (tombstone(&identity_id, &dataset, 1, 2), r"#\x00\x03i:1g\x00\x01d\x00\x00\x00\x00\x00\x00\x00\x01\x00\x02"),
        (history(&identity_id, &dataset, 1), r"#\x00\x03i:1u\x00\x01d\x00\x00\x00\x00\x00\x00\x00\x01"),
        (conflict(&identity_id, &dataset, 2), r"#\x00\x03i:1x\x00\x01d\x00\x02"),
        (reap_due(1, &identity_id, &dataset), r"r\x00\x00\x00\x00\x00\x00\x00\x01\x00\x03i:1\x00\x01d"),
        (job(&identity_id), r"w\x00\x03i:1"),
        (rewind(&identity_id, &dataset), r"s\x00\x03i:1\x00\x01d"),
        (registration(&identity_id, &phone), r"t\x00\x03i:1\x00\x05phone"),
        (token_binding("p", b"fcm", b"h"), r"n\x00\x01p\x00\x03fcm\x00\x01h"),
        (debt(&identity_id, &dataset), r"#\x00\x03i:1e\x00\x01d"),
        (wake_due(1, &identity_id, &dataset), r"b\x00\x00\x00\x00\x00\x00\x00\x01\x00\x03i:1\x00\x01d"),
        (push_budget(&identity_id, &phone), r"#\x00\x03i:1q\x00\x05phone"),
        (delivery_log_entry(&identity_id, &phone, 2), r"#\x00\x03i:1y\x00\x05phone\x00\x02"),
    ];
    for (key, bytes) in &cases {
        assert_eq!(key.escape_ascii().to_string(), *bytes);
    }
    assert!(RowKind::all().all(|kind| cases.iter().any(|(key, _)| kind.is_of(key))), "a kind without a case");
}

#[test]
fn names_with_a_common_beginning_do_not_mix() {
    let identity = Identity::from("local:1");
    let of = |name: &str| records(&identity, &DatasetName::new(name).expect("a name"));
    let (short, long) = (of("a"), of("ab"));
    assert!(!long.starts_with(&short));
}

#[test]
fn the_records_of_a_dataset_stand_in_the_order_of_their_versions() {
    let identity = Identity::from("local:1");
    let dataset = DatasetName::new("d").expect("a name");
    let rows: Vec<Bytes> = [(1, 0), (1, 1), (2, 0), (255, 0), (256, 0), (u64::MAX, 9)]
        .map(|(version, ordinal)| record(&identity, &dataset, version, ordinal))
        .into();
    assert!(rows.is_sorted());
    let end = prefix_end(&records(&identity, &dataset));
    assert!(rows.iter().all(|row| *row < end));
}

#[test]
fn what_an_identity_owns_stands_together_and_each_key_names_its_kind() {
    let (one, other) = (Identity::from("local:1"), Identity::from("local:12"));
    let dataset = DatasetName::new("d").expect("a name");
    let of = |identity: &Identity| [head(identity, &dataset), records(identity, &dataset), of_identity(RowKind::Patch, identity)];
    assert!(of(&one).iter().all(|row| row.starts_with(&all_identities()) && of(&other).iter().all(|other| row < other)));
    for kind in RowKind::all().filter(|kind| !kind.is_of_another_owner()) {
        let row = of_identity(kind, &one);
        assert!(RowKind::all().all(|other| other.is_of(&row) == (other == kind)), "{kind:?}");
    }
    assert!(RowKind::all().all(|kind| !kind.is_of(b"") && !kind.is_of(b"#") && !kind.is_of(b"#\0\x05abc")));
}

#[test]
fn the_end_of_a_prefix_is_right_at_the_last_byte() {
    assert_eq!(prefix_end(b"ab"), b"ac");
    assert_eq!(prefix_end(b"a\xff"), b"b");
    assert_eq!(KeyParts::after(&job(&Identity::from("x")), b"w").and_then(|mut parts| parts.name().map(str::to_owned)), Ok("x".to_owned()));
}
