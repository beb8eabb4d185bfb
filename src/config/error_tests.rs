//! The table of configuration errors: what each says, and where.

use std::path::Path;

use super::settings::ValueForm;
use super::*;

const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

const ISSUER: &str = "[[pools.app.issuers]]\nissuer = \"i\"\naudience = [\"a\"]\nsecret = \"hunter2-hunter2-hunter2-hunter2-hunter2\"\n";

/// The errors of a file, its folder left out.
fn errors(text: &str) -> String {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("d.toml");
    std::fs::write(&file, text).expect("writes");
    let read = read(Some(&file), &Environment::default(), &Flags::default());
    let error = read.and_then(|config| config.check_production()).expect_err(text).to_string();
    error.replace(&format!("{}/", folder.path().display()), "")
}

fn of_variable(name: &str, value: &str) -> String {
    read(None, &[(name, value)].into_iter().collect(), &Flags::default()).expect_err(value).to_string()
}

#[test]
fn each_error_has_its_place_its_key_what_was_expected_and_what_was_found() {
    let address =
        "an IP address and a port, as in 127.0.0.1:7400, [::1]:7400 or localhost:7400; 7400 for this machine only, :7400 for every address";
    let table: &[(&str, &str)] = &[
        // Unknown names.
        ("listn = \"x\"", "d.toml, line 1: unknown key listn; did you mean listen?"),
        ("\n[pool.app]\n", "d.toml, line 2: unknown key pool; did you mean pools?"),
        ("[store]\n\ncache_mb = 3", "d.toml, line 3: unknown key store.cache_mb; did you mean cache_mib?"),
        ("[pools.app.limits]\nrecord = 3", "d.toml, line 2: unknown key pools.app.limits.record; did you mean records?"),
        ("[pools.app.limit]\nrecords = 3", "d.toml, line 1: unknown key pools.app.limit; did you mean limits?"),
        ("[pools.app]\nissuer = 3", "d.toml, line 2: unknown key pools.app.issuer; did you mean issuers?"),
        ("[store]\ndrain-s = 3", "d.toml, line 2: unknown key store.drain-s; it belongs at the top, above the first [table]"),
        ("cache_mib = 3", "d.toml, line 1: unknown key cache_mib; it belongs into [store]"),
        ("[pools.app]\naudience = 3", "d.toml, line 2: unknown key pools.app.audience; it belongs into [[pools.NAME.issuers]]"),
        ("[tls]\nfoo = 1", "d.toml, line 2: unknown key tls.foo; known here: certificate, key"),
        ("\"a b\" = 1\n[pools.app.x.\"c d\"]", "unknown key \"a b\"; known here: "),
        // Wrong kinds of values.
        ("listen = \"here\"", &format!("d.toml, line 1: listen must be {address}, not the text \"here\"")),
        ("listen = \"127.0.0.1\"", "not the text \"127.0.0.1\""),
        ("\n\ndrain_s = \"10\"", "line 3: drain_s must be a whole number from 1 to 3600, not the text \"10\"; write it without quotes"),
        ("drain_s = 1.5", "drain_s must be a whole number from 1 to 3600, not 1.5"),
        ("drain_s = -1", "drain_s must be a whole number from 1 to 3600, not -1"),
        ("drain_s = 99999", "drain_s must be a whole number from 1 to 3600, not 99999"),
        ("drain_s = 100000000000000000000", "drain_s must be a whole number from 1 to 3600, not 100000000000000000000"),
        ("heartbeat_s = 9", "heartbeat_s must be a whole number from 10 to 1500, not 9"),
        ("connections = 0", "connections must be a whole number from 1 to 4294967295, not 0"),
        ("data = 1", "data must be a text in quotes, not 1"),
        ("log = [\"a\"]", "log must be a text in quotes, not a list"),
        (
            "origins = \"https://a\"",
            "origins must be a list of origins, as in [\"https://app.example.com\"], not the text \"https://a\"; write it in brackets",
        ),
        ("origins = [1]", "origins must be a list of origins, as in [\"https://app.example.com\"], not a list"),
        ("log = \"warning\"", "d.toml, line 1: log: \"warning\" is no level; the levels are error, warn, info, debug, trace, off"),
        ("log = \"driftless=loud\"", "d.toml, line 1: log: \"driftless=loud\" is no filter such as driftless=debug"),
        ("region = \"eu\"", "it belongs into [pools.NAME]"),
        ("[limits]\nrecords = 1", "it belongs into [pools.NAME.limits]"),
        ("[retention]\nhistory_s = 1", "it belongs into [pools.NAME]"),
        ("[proxies]\ntrusted = [\"10.0.0.0/33\"]", "d.toml, line 2: proxies.trusted: \"10.0.0.0/33\" is neither an address nor a network"),
        ("[limits]\nexempt = [\"localhost\"]", "\"localhost\" is neither an address nor a network"),
        ("[[issuers]]\nissuer = \"i\"", "it belongs into [pools.NAME]"),
        ("origins = [\"app.example\"]", "d.toml, line 1: origins: origin app.example: the scheme is missing; write https://app.example"),
        (
            "[pools.app]\norigins = [\"https://a.example\", \"*\"]",
            "line 2: pools.app.origins: origin *: leave the list empty to allow every origin",
        ),
        ("log_format = \"xml\"", "log_format must be text or json, not the text \"xml\""),
        ("[store]\nengine = \"rocksdb\"", "d.toml, line 2: store.engine must be sled or redb, not the text \"rocksdb\""),
        ("store = 5", "d.toml, line 1: store must be a table, [store], not 5"),
        ("[listen]\nx = 1", "d.toml, line 1: listen must be an IP address"),
        (
            "[pools.app.push]\ncognito = \"true\"",
            "pools.app.push.cognito must be true or false, not the text \"true\"; write it without quotes",
        ),
        ("[pools.app]\nconflicts = \"newest\"", "pools.app.conflicts must be reject or last-writer-wins, not the text \"newest\""),
        ("[pools.app.datasets]\nd = \"x\"", "d.toml, line 2: pools.app.datasets.d must be reject or last-writer-wins"),
        ("[pools.app.datasets]\n\"\" = \"reject\"", "d.toml, line 2: pools.app.datasets.\"\": no name of a dataset"),
        (
            "[pools.app.issuers]\nissuer = \"i\"",
            "d.toml, line 1: pools.app.issuers is a list: write [[pools.app.issuers]] with two brackets",
        ),
        ("[pools.app]\nissuers = [1]", "pools.app.issuers must be a list of tables, [[pools.app.issuers]], not a list"),
        ("[[pools.app.issuers]]\nissuer = \"i\"", "d.toml, line 1: pools.app.issuers has no audience, which every entry needs"),
        ("[[pools.app.push.fcm]]\napp = \"a\"", "pools.app.push.fcm has no service_account_file, which every entry needs"),
        ("[pools.app.limits]\ndevices = 0", "pools.app.limits.devices must be a whole number, 1 or more, not 0"),
        ("[pools.app.limits]\nvalue_bytes = 9999999", "value_bytes must be a whole number from 1 to 1048576, not 9999999"),
        // Secrets are not quoted.
        ("[[pools.app.issuers]]\nsecrets = \"hunter2\"", "unknown key pools.app.issuers.secrets; did you mean secret?"),
        (
            "[[pools.app.issuers]]\nissuer = \"i\"\naudience = [\"a\"]\nsecret = [\"hunter2\"]",
            "line 4: pools.app.issuers.secret must be a text in quotes, not a list",
        ),
        ("[admin]\nkey = 5558675309", "d.toml, line 2: admin.key must be a text in quotes, not a number"),
        ("[admin]\nkey = \"hunter2\"", "d.toml, line 2: admin.key: the operator key is not usable: it must be 32"),
        ("[admin]\nkey = \"hunter2\"\nkey_file = \"k\"", "d.toml, line 3: set only one of admin.key and admin.key_file"),
        ("[admin]\nkey_file = \"/nonexistent/key\"", "d.toml, line 2: admin.key_file: /nonexistent/key cannot be read: No such file"),
        ("[[pools.app.issuers]]\nsecret = \"hunter2", "d.toml, line 2: no valid TOML: "),
        // What only all values together show.
        ("[tls]\nkey = \"k.pem\"", "d.toml, line 2: tls.key is set without tls.certificate: TLS needs both"),
        ("[tls]\ncertificate = \"c.pem\"", "d.toml, line 2: tls.certificate is set without tls.key"),
        ("\n[pools.app]\nregion = \"a b\"", "d.toml, line 3: pools.app.region must have 1 to 18 characters"),
        ("\n[pools.app]\n", "d.toml, line 2: pools.app has no issuer, so no device can sign in: add [[pools.app.issuers]]"),
        ("[pools.\"\"]\n", "the name of a pool must have 1 to 128 bytes"),
        ("log = \"info\"\nlisten =\n", "d.toml, line 2: no valid TOML: "),
        ("log = \"a\"\nlog = \"b\"", "d.toml, line 2: no valid TOML: duplicate key"),
        ("", "d.toml: no pool is configured"),
        (
            "[[pools.app.issuers]]\nissuer = \"i\"\naudience = [\"a\"]\nsecret = \"driftless development secret, public, not for production\"",
            "d.toml, line 4: pools.app.issuers.secret is the development secret",
        ),
    ];
    for (text, says) in table {
        let error = errors(text);
        assert!(error.contains(says), "{text:?}\n  says   {error}\n  not    {says}");
        for talk in ["usize", "u64", "u32", "i64", "expected struct", "invalid type", "unknown variant", "hunter2", "5558675309"] {
            assert!(!error.contains(talk), "{text:?} says {error}");
        }
    }
    assert_eq!(
        of_variable("DRIFTLESS_DRAIN_S", "soon"),
        "DRIFTLESS_DRAIN_S: drain_s must be a whole number from 1 to 3600, not the text \"soon\""
    );
    assert_eq!(of_variable("DRIFTLESS_LOG_FORMAT", "xml"), "DRIFTLESS_LOG_FORMAT: log_format must be text or json, not the text \"xml\"");
    assert!(
        of_variable("DRIFTLESS_ADMIN_KEY", "hunter2 hunter2").starts_with("DRIFTLESS_ADMIN_KEY: admin.key: the operator key is not usable")
    );
    assert!(of_variable("DRIFTLESS_LISTN", "x").contains("did you mean DRIFTLESS_LISTEN?"));
    let error = read(Some(Path::new("/nonexistent/d.toml")), &Environment::default(), &Flags::default()).expect_err("no file").to_string();
    assert!(error.starts_with("/nonexistent/d.toml: the configuration file cannot be read: No such file"), "{error}");
}

#[test]
fn several_errors_are_reported_at_once() {
    let error = errors("listn = 1\ndrain_s = true\n[store]\ncache_mib = \"x\"\n");
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!((lines[0], lines.len()), ("3 errors in the configuration", 4), "{error}");
    assert!(["line 1", "line 2", "line 4"].iter().all(|line| error.contains(line)), "{error}");
    let error = errors(&format!("[tls]\nkey = \"k\"\n[admin]\nkey = \"short\"\n{ISSUER}"));
    assert!(error.contains("line 2: tls.key") && error.contains("line 4: admin.key"), "{error}");
}

/// Holds for every setting that there is, and that will be: no value of a wrong kind reaches the parser of the types.
#[test]
fn a_value_of_a_wrong_kind_is_refused_in_plain_words_for_every_setting() {
    for setting in SETTINGS.iter() {
        let wrong = match setting.form() {
            ValueForm::Number { .. } | ValueForm::Boolean => vec!["\"x\"", "1.5", "[]", "-1"],
            ValueForm::Text => vec!["1", "true", "[]"],
            ValueForm::Choice(_) => vec!["\"x\"", "1"],
            ValueForm::Texts => vec!["1", "\"x\"", "[1]"],
            ValueForm::Origins => vec!["1", "\"https://a.example\"", "[1]"],
            ValueForm::Networks => vec!["1", "\"10.0.0.0/8\"", "[1]"],
            ValueForm::Address => vec!["\"x\"", "true", "-1"],
        };
        let beyond = match setting.form() {
            ValueForm::Number { min, max } => {
                [min.checked_sub(1), max.checked_add(1)].into_iter().flatten().map(|n| n.to_string()).collect()
            }
            _ => Vec::new(),
        };
        for value in wrong.into_iter().map(str::to_owned).chain(beyond) {
            let error = errors(&file_with(setting.name, &value));
            let key = setting.name.replace(".*.", ".").replacen("pools.", "pools.app.", 1);
            assert!(
                error.contains(&format!("{} must be {}", key.replace(".*", ".app"), setting.form().expected())),
                "{}: {error}",
                setting.name
            );
        }
        // The bounds are those of the types: the largest and the smallest value are read.
        if let ValueForm::Number { min, max } = setting.form() {
            for value in [min, max] {
                let read = errors(&file_with(setting.name, &value.min(i64::MAX as u64).to_string()));
                assert!(!read.contains("cannot use"), "{} = {value}: {read}", setting.name);
            }
        }
    }
}

/// A file that sets one setting.
fn file_with(name: &str, value: &str) -> String {
    let (table, key) = name.rsplit_once('.').unwrap_or(("", name));
    let key = if key == "*" { "app" } else { key };
    match (table.strip_prefix("pools.*.").and_then(|rest| rest.strip_suffix(".*")), table) {
        (Some(list), _) => format!("[[pools.app.{list}]]\n{key} = {value}\n"),
        (None, "") => format!("{key} = {value}\n"),
        (None, table) => format!("[{}]\n{key} = {value}\n", table.replace('*', "app")),
    }
}

#[test]
fn a_secret_stands_in_a_file_of_its_own() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("key");
    let path = file.to_str().expect("UTF-8");
    for text in [format!("{SECRET}\n"), format!("{SECRET}\r\n"), SECRET.to_owned()] {
        std::fs::write(&file, text).expect("writes");
        let config = read(None, &[("DRIFTLESS_ADMIN_KEY_FILE", path)].into_iter().collect(), &Flags::default()).expect("reads");
        assert!(config.operator_key().is_some_and(|key| key.matches(SECRET)));
    }
    for (text, says) in [("", "is empty"), ("\n", "is empty"), ("hunter2", "not usable"), (&"x".repeat(70_000), "more than 65536 bytes")] {
        std::fs::write(&file, text).expect("writes");
        let error = of_variable("DRIFTLESS_ADMIN_KEY_FILE", path);
        assert!(
            error.starts_with("DRIFTLESS_ADMIN_KEY_FILE: admin.key_file: ") && error.contains(says) && !error.contains("hunter2"),
            "{error}"
        );
    }
    // The source that takes precedence decides; one source sets only one of both.
    std::fs::write(&file, SECRET).expect("writes");
    let config = folder.path().join("d.toml");
    std::fs::write(&config, format!("[admin]\nkey = \"{SECRET}-of-the-configuration\"\n")).expect("writes");
    let read = |variables: &[(&str, &str)]| read(Some(&config), &variables.iter().copied().collect(), &Flags::default());
    assert!(read(&[("DRIFTLESS_ADMIN_KEY_FILE", path)]).expect("reads").operator_key().is_some_and(|key| key.matches(SECRET)));
    let error = read(&[("DRIFTLESS_ADMIN_KEY_FILE", path), ("DRIFTLESS_ADMIN_KEY", SECRET)]).expect_err("two").to_string();
    assert!(error.contains("set only one of admin.key and admin.key_file"), "{error}");
}
