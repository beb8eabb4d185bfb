use std::io::Write;

use clap::{Args, FromArgMatches};

use super::*;
use crate::merge::ConflictPolicy;
use crate::push::{APNS_SANDBOX_SERVER, APNS_SERVER, ApnsConfig, FCM_SERVER, FcmConfig, PushConfig, WebpushConfig};
use crate::store::{EngineConfig, EngineKind};

fn from_file(text: &str) -> Result<ServerConfig, ConfigError> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("writes");
    read(Some(file.path()), &Environment::default(), &Flags::default())
}

fn variables<const N: usize>(variables: [(&str, &str); N]) -> Environment {
    variables.into_iter().collect()
}

fn flags(arguments: &[&str]) -> Flags {
    let command = Flags::augment_args(clap::Command::new("driftless"));
    Flags::from_arg_matches(&command.get_matches_from([&["driftless"], arguments].concat())).expect("known flags")
}

fn config_error(text: &str) -> String {
    from_file(text).expect_err(text).to_string()
}

#[test]
fn flags_take_precedence_over_the_environment_and_the_environment_over_the_file() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"log = \"warn\"\ndrain_s = 1\n[store]\ncache_mib = 1\n").expect("writes");
    let environment = variables([("DRIFTLESS_STORE_CACHE_MIB", "2"), ("DRIFTLESS_DRAIN_S", "2")]);
    let config = read(Some(file.path()), &environment, &flags(&["--drain-s", "3"])).expect("reads");
    assert_eq!((config.log.as_str(), config.store().cache_mib, config.drain_s), ("warn", 2, 3));
}

#[test]
fn the_engine_is_chosen_by_its_name() {
    assert_eq!(ServerConfig::default().store().engine, EngineKind::Sled);
    let config =
        read(None, &Environment::default(), &flags(&["--store-engine", "redb", "--store-reserve-mib", "7", "--store-journal-mib", "5"]))
            .expect("reads");
    let EngineConfig { engine, reserve_mib, journal_mib, .. } = config.store();
    assert_eq!((engine, reserve_mib, journal_mib), (EngineKind::Redb, 7, 5));
}

#[test]
fn an_empty_variable_is_not_set() {
    let empty: Environment = SETTINGS.iter().filter(|setting| setting.is_global()).map(|setting| (setting.variable(), "")).collect();
    assert!(read(None, &empty, &Flags::default()).expect("reads").origins.is_empty());
}

#[test]
fn a_variable_is_read_as_the_file_is() {
    let config = |name, value| read(None, &variables([(name, value)]), &Flags::default()).expect(value);
    assert_eq!(config("DRIFTLESS_DRAIN_S", " 1_0\n").drain_s, 10);
    for list in ["https://a.example, https://b.example", "[\"HTTPS://A.example:443/\", 'https://b.example']"] {
        let origins: Vec<_> = config("DRIFTLESS_ORIGINS", list).origins.iter().map(ToString::to_string).collect();
        assert_eq!(origins, ["https://a.example", "https://b.example"], "{list}");
    }
    assert_eq!(config("DRIFTLESS_LISTEN", "localhost:0").listen.to_string(), "127.0.0.1:0");
    assert_eq!(from_file("listen = 7401").expect("a port").listen.to_string(), "127.0.0.1:7401");
    assert!(from_file("listen = \":0\"").expect("every address").listen.ip().is_unspecified());
}

#[test]
fn production_rejects_the_development_secret() {
    let pool = |secret: &str| {
        let text = format!("[[pools.demo.issuers]]\nissuer = \"i\"\naudience = [\"a\"]\nsecret = \"{secret}\"\n");
        from_file(&text).expect("reads").check_production()
    };
    assert!(pool(crate::auth::DEVELOPMENT_SECRET).expect_err("the development secret").to_string().contains("development secret"));
    assert!(pool("a secret that only this test and its issuer know").is_ok());
    assert!(ServerConfig::default().check_production().is_err(), "no pool");
}

#[test]
fn the_printed_example_is_a_file_that_sets_the_defaults() {
    let example = ExampleConfig.to_string();
    let config = from_file(&example).expect("reads");
    assert_eq!(format!("{config:?}"), format!("{:?}", ServerConfig::default()));
    for setting in SETTINGS.iter() {
        assert!(example.contains(setting.help), "{}", setting.name);
    }
}

/// The defaults of a pool are printed as comments. With the comment signs removed they must be what a pool without these settings has.
#[test]
fn the_printed_defaults_of_a_pool_are_the_ones_it_uses() {
    let issuer = "issuer = \"i\"\naudience = [\"a\"]\nsecret = \"a secret that only this test and its issuer know\"\n";
    let example = ExampleConfig.to_string().replace("NAME", "mine");
    // Settings without a default are left out, but an entry of a push gateway needs some: empty texts, as in the defaults of their types.
    let needed = ["app", "service_account_file", "vapid_key_file", "contact"];
    let uncommented = |line: &str| {
        let rest = line.strip_prefix('#').filter(|rest| !rest.starts_with(' '))?;
        match rest.strip_suffix(" =") {
            Some(name) => needed.contains(&name).then(|| format!("{name} = \"\"")),
            None => Some(rest.to_owned()),
        }
    };
    let pool: Vec<String> = example.lines().filter_map(uncommented).collect();
    let (printed, absent) = (pool.join("\n") + "\n" + issuer, format!("[[pools.mine.issuers]]\n{issuer}"));
    let (mut printed, absent) = (from_file(&printed).expect("reads"), from_file(&absent).expect("reads"));
    let push = std::mem::take(&mut printed.pools.get_mut("mine").expect("the pool").push);
    let apns =
        ApnsConfig { server: Some(APNS_SERVER.to_owned()), sandbox_server: Some(APNS_SANDBOX_SERVER.to_owned()), ..ApnsConfig::default() };
    let fcm = FcmConfig { server: Some(FCM_SERVER.to_owned()), ..FcmConfig::default() };
    let expected = PushConfig { apns: vec![apns], fcm: vec![fcm], webpush: vec![WebpushConfig::default()], ..PushConfig::default() };
    assert_eq!(push, expected);
    assert_eq!(format!("{:#?}", printed.pools), format!("{:#?}", absent.pools));
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
fn an_operator_key_is_checked_and_never_printed() {
    let planted = "planted-operator-key-planted-operator-key";
    let config = from_file(&format!("[admin]\nkey = {planted:?}")).expect("reads");
    assert!(config.operator_key().is_some_and(|key| key.matches(planted)));
    assert!(!format!("{config:?}").contains("planted") && !format!("{:?}", flags(&["--admin-key", planted])).contains("planted"));
    assert!(
        config.for_development(crate::admin::DEVELOPMENT_KEY).operator_key().is_some_and(|key| key.matches(planted)),
        "a configured key is not replaced"
    );
    for invalid in ["planted-but-short", "planted key with spaces, but long enough"] {
        let error = config_error(&format!("[admin]\nkey = {invalid:?}"));
        assert!(error.contains("admin.key") && error.contains("32") && !error.contains("planted"), "{error}");
    }
    assert!(from_file("[admin]\nkey = \"\"").expect("reads").operator_key().is_none(), "an empty key disables the admin API");
}
