use std::io::Write;

use clap::{Args, FromArgMatches};

use super::*;

fn nothing(_: &str) -> Option<String> {
    None
}

fn from_file(text: &str) -> Result<Config, ConfigError> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("writes");
    read(Some(file.path()), &nothing, &Flags::default())
}

fn flags(arguments: &[&str]) -> Flags {
    let command = Flags::augment_args(clap::Command::new("driftless"));
    Flags::from_arg_matches(&command.get_matches_from([&["driftless"], arguments].concat())).expect("known flags")
}

fn refused(text: &str) -> String {
    from_file(text).expect_err(text).to_string()
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"log = \"warn\"\ndrain_s = 1\n[store]\ncache_mib = 1\n").expect("writes");
    let environment = |name: &str| (name == "DRIFTLESS_STORE_CACHE_MIB" || name == "DRIFTLESS_DRAIN_S").then(|| "2".to_owned());
    let config = read(Some(file.path()), &environment, &flags(&["--drain-s", "3"])).expect("reads");
    assert_eq!((config.log.as_str(), config.store().cache_mib, config.drain_s), ("warn", 2, 3));
}

#[test]
fn the_engine_is_chosen_by_its_name() {
    assert_eq!(Config::default().store().engine, store::EngineKind::Sled);
    let config =
        read(None, &|_| None, &flags(&["--store-engine", "redb", "--store-reserve-mib", "7", "--store-journal-mib", "5"])).expect("reads");
    let store::EngineConfig { engine, reserve_mib, journal_mib, .. } = config.store();
    assert_eq!((engine, reserve_mib, journal_mib), (store::EngineKind::Redb, 7, 5));
    let said = refused("[store]\nengine = \"rocksdb\"\n");
    assert!(said.contains("engine") && said.contains("redb"), "{said}");
}

#[test]
fn an_empty_variable_is_not_set() {
    let empty = |name: &str| name.starts_with("DRIFTLESS_").then(String::new);
    assert!(read(None, &empty, &Flags::default()).expect("reads").origins.is_empty());
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let secret = "hunter2-hunter2-hunter2-hunter2-hunter2";
    for (text, unknown, nearest) in [
        ("listn = \"x\"", "listn", "listen"),
        ("[store]\ncache_mb = 3", "store.cache_mb", "store.cache_mib"),
        ("[pools.demo.limits]\nrecord = 3", "pools.demo.limits.record", "pools.*.limits.records"),
        (&format!("[[pools.demo.issuers]]\nsecrets = \"{secret}\""), "pools.demo.issuers.*.secrets", "pools.*.issuers.*.secret"),
    ] {
        let said = refused(text);
        assert!(said.contains(&format!("unknown key {unknown};")) && said.contains(&format!("is {nearest} ")), "{said}");
        assert!(!said.contains(secret));
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let said = refused("listen = \"localhost\"\n");
    assert!(said.contains("listen") && said.contains("socket address"), "{said}");
    let said = refused("[[pools.demo.issuers]]\nsecret = \"i\"\naudience = \"hunter2 hunter2\"\n");
    assert!(said.contains("audience") && !said.contains("hunter2"), "{said}");
    assert!(refused("drain_s = 99999").contains("drain_s"));
    assert!(refused("[pools.demo.limits]\ndevices = 0\n").contains("pools.demo"));
    assert!(refused("log = \"info\"\nlisten =\n").contains("line 2"));
    assert!(refused("[tls]\nkey = \"k.pem\"").contains("go together"));
    assert!(refused("[pools.demo]\nregion = \"a b\"\n").contains("pools.demo: region"));
    assert!(refused("[pools.demo]\n").contains("issuer"));
    assert!(refused("connections = 0").contains("connections"));
    assert!(refused("[pools.demo.limits]\nvalue_bytes = 9999999\n").contains("value_bytes"));
    let said = read(None, &|name| (name == "DRIFTLESS_DRAIN_S").then(|| "soon".to_owned()), &Flags::default()).expect_err("no number");
    assert_eq!(said.to_string(), "DRIFTLESS_DRAIN_S: a whole number is needed");
}

#[test]
fn production_refuses_the_development_secret() {
    let pool = |secret: &str| {
        let text = format!("[[pools.demo.issuers]]\nissuer = \"i\"\naudience = [\"a\"]\nsecret = \"{secret}\"\n");
        from_file(&text).expect("reads").check_production()
    };
    assert!(pool(crate::auth::DEVELOPMENT_SECRET).expect_err("the development secret").to_string().contains("development secret"));
    assert!(pool("a secret that only this test and its issuer know").is_ok());
    assert!(Config::default().check_production().is_err(), "no pool");
}

#[test]
fn the_printed_example_is_a_file_that_says_the_defaults() {
    let example = Example.to_string();
    let config = from_file(&example).expect("reads");
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    for key in KEYS {
        assert!(example.contains(key.says), "{}", key.name);
    }
}

#[test]
fn every_key_of_a_pool_is_accepted() {
    let text = r#"
        [pools.app]
        region = "eu"
        conflicts = "last-writer-wins"
        [pools.app.datasets]
        "settings" = "reject"
        [pools.app.limits]
        key_bytes = 100
        value_bytes = 1000
        changes_per_patch = 10
        records = 10
        dataset_bytes = 10000
        datasets = 2
        devices = 3
        [[pools.app.issuers]]
        issuer = "https://issuer.example"
        audience = ["app"]
        jwks_url = "https://issuer.example/keys"
    "#;
    let config = from_file(text).expect("reads");
    let pool = &config.pools()[0];
    assert_eq!((&*pool.region, pool.policy, pool.limits.devices), ("eu", ConflictPolicy::LastWriterWins, 3));
}

#[test]
fn an_operator_key_is_checked_and_never_shown() {
    let planted = "planted-operator-key-planted-operator-key";
    let config = from_file(&format!("[admin]\nkey = {planted:?}")).expect("reads");
    assert!(config.operator().is_some_and(|key| key.matches(planted)));
    assert!(!format!("{config:?}").contains("planted") && !format!("{:?}", flags(&["--admin-key", planted])).contains("planted"));
    assert!(config.with_operator_key(crate::admin::DEVELOPMENT_KEY).operator().is_some_and(|key| key.matches(planted)), "it stays");
    for bad in ["planted-but-short", "planted key with spaces, long enough for all that is asked"] {
        let said = refused(&format!("[admin]\nkey = {bad:?}"));
        assert!(said.contains("admin.key") && said.contains("32") && !said.contains("planted"), "{said}");
    }
    assert!(from_file("[admin]\nkey = \"\"").expect("reads").operator().is_none(), "nobody is an operator");
}
