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
        ("drain_s = 1.0", "drain_s must be a whole number from 1 to 3600, not 1.0"),
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
        ("origins = [1]", "origins must be a list of origins, as in [\"https://app.example.com\"], not a list with a number"),
        ("log = \"warning\"", "d.toml, line 1: log: \"warning\" is no level; the levels are error, warn, info, debug, trace, off"),
        ("log = \"driftless=loud\"", "d.toml, line 1: log: \"driftless=loud\" is no filter such as driftless=debug"),
        ("region = \"eu\"", "it belongs into [aws], or into [pools.NAME]"),
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
        ("[pools.app]\nissuers = [1]", "pools.app.issuers must be a list of tables, [[pools.app.issuers]], not a list with a number"),
        ("[pools.app]\nissuers = [\"hunter2\"]", "not a list with a text"),
        ("key = \"x\"", "d.toml, line 1: unknown key key; it belongs into [admin], or into [tls]"),
        ("[pools.\"a b\"]\n", "pools.\"a b\" has no issuer, so no device can sign in: add [[pools.\"a b\".issuers]]"),
        ("[pools.\"a b\"]\nregion = \"ü\"", "pools.\"a b\".region must have"),
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
        // An editor's byte order mark is no part of the first key.
        ("\u{feff}listn = 1", "d.toml, line 1: unknown key listn; did you mean listen?"),
        // Second entries of lists.
        (
            "[[pools.app.issuers]]\nissuer = \"i\"\naudience = [\"a\"]\n[[pools.app.issuers]]\nissuer = \"j\"",
            "d.toml, line 4: pools.app.issuers has no audience, which every entry needs",
        ),
        (
            "[[pools.app.push.apns]]\napp = \"a\"\n[[pools.app.push.apns]]\napp = 7",
            "d.toml, line 4: pools.app.push.apns.app must be a text",
        ),
        (
            "[pools.app]\nissuers = [\n{ issuer = \"i\", audience = [\"a\"] },\n{ isuer = \"j\" },\n]",
            "line 4: unknown key pools.app.issuers.isuer",
        ),
        // Lists in quotes.
        ("origins = \"['https://a.example']\"", "not the text \"['https://a.example']\"; write the list without quotes around it"),
        ("origins = \"[https://a.example]\"", "; write each entry in quotes and a comma between two"),
        ("[proxies]\ntrusted = \"10.0.0.0/8\"", "; write it in brackets"),
        ("listen = \"'127.0.0.1:7400'\"", "; write it without spaces and quotes around it"),
        ("log_format = \"json \"", "; write it without spaces and quotes around it"),
        // What only all values together show.
        (
            "listen = \"0.0.0.0:7400\"\n[admin]\nlisten = \"127.0.0.1:7400\"",
            "d.toml, line 3: admin.listen is 127.0.0.1:7400, and listen, 0.0.0.0:7400, has the same port",
        ),
        (
            "[pools.app.push]\nname_hash_key = \"hunter2-hunter2-hunter2\"\nname_hash_key_file = \"k\"",
            "d.toml, line 3: set only one of pools.app.push.name_hash_key and pools.app.push.name_hash_key_file",
        ),
        (
            "[pools.app.push]\nname_hash_key_file = \"/nonexistent/key\"",
            "d.toml, line 2: pools.app.push.name_hash_key_file: /nonexistent/key cannot be read",
        ),
        ("[tls]\nkey = \"k.pem\"", "d.toml, line 2: tls.key is set without tls.certificate: TLS needs both"),
        ("[tls]\ncertificate = \"c.pem\"", "d.toml, line 2: tls.certificate is set without tls.key"),
        ("\n[pools.app]\nregion = \"a b\"", "d.toml, line 3: pools.app.region must have 1 to 18 characters"),
        ("\n[pools.app]\n", "d.toml, line 2: pools.app has no issuer, so no device can sign in: add [[pools.app.issuers]]"),
        ("[pools.\"\"]\n", "the name of a pool must have 1 to 128 bytes"),
        ("log = \"info\"\nlisten =\n", "d.toml, line 2: no valid TOML: "),
        ("log = \"a\"\nlog = \"b\"", "d.toml, line 2: no valid TOML: duplicate key"),
        ("", "d.toml: no pool is configured; add one, with its issuer: [[pools.NAME.issuers]] (all settings: "),
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
    for list in ["[https://a.example]", "[https://a.example, 'https://b.example']"] {
        let error = of_variable("DRIFTLESS_ORIGINS", list);
        assert!(
            error.starts_with("DRIFTLESS_ORIGINS: origins must be a list")
                && error.ends_with("each entry in quotes and a comma between two")
        );
    }
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
    for text in [format!("{SECRET}\n"), format!("{SECRET}\r\n"), SECRET.to_owned(), format!("\u{feff}{SECRET}\n")] {
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

/// What a check of the files says, the folder left out.
fn file_errors(text: &str) -> String {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("d.toml");
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let marked = format!("\u{feff}{}", pair.signing_key.serialize_pem());
    let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    for (name, text) in [("d.toml", text), ("c.pem", &certificate), ("k.pem", &key), ("bom.pem", &marked), ("short", "hunter2")] {
        std::fs::write(folder.path().join(name), text.replace("HERE", &folder.path().display().to_string())).expect("writes");
    }
    let read = read(Some(&file), &Environment::default(), &Flags::default());
    let error = read.and_then(|config| config.check_files()).expect_err(text).to_string();
    error.replace(&format!("{}/", folder.path().display()), "")
}

#[tokio::test]
async fn an_error_of_a_file_stands_at_the_entry_that_names_it() {
    let apns = |app: &str, rest: &str| format!("[[pools.app.push.apns]]\napp = \"{app}\"\n{rest}\n");
    let webpush = "[[pools.app.push.webpush]]\napp = \"w\"\ncontact = \"x\"\nvapid_key_file = \"HERE/k.pem\"\n";
    let with_key = "certificate_file = \"HERE/pair.pem\"";
    for (text, says) in [
        (format!("{ISSUER}[tls]\ncertificate = \"HERE/c.pem\"\nkey = \"/nonexistent.pem\""), "d.toml, line 7: tls.key: /nonexistent.pem"),
        (format!("{ISSUER}[tls]\ncertificate = \"/nonexistent.pem\"\nkey = \"HERE/k.pem\""), "d.toml, line 6: tls.certificate: "),
        (format!("{ISSUER}[tls]\nkey = \"HERE/c.pem\"\ncertificate = \"HERE/k.pem\""), "2 errors in the configuration"),
        // Two entries of one issuer: each error at its own.
        (
            format!("{ISSUER}[[pools.app.issuers]]\nissuer = \"i\"\naudience = [\"b\"]\nkeys_file = \"/nonexistent.json\""),
            "d.toml, line 8: pools.app.issuers, issuer \"i\": keys_file cannot be read",
        ),
        (
            format!("{ISSUER}{}", ISSUER.replace("[\"a\"]", "[\"b\", \"a\"]")),
            "d.toml, line 7: pools.app.issuers, issuer \"i\": audience \"a\" is also configured for issuer \"i\" in pool \"app\"",
        ),
        (
            format!("{ISSUER}{}{}", apns("a", "key_id = \"K\""), apns("b", "")),
            "d.toml, line 5: pools.app.push.apns: the app a needs key_file",
        ),
        (
            format!("{ISSUER}[pools.app.push]\nname_hash_key_file = \"HERE/short\""),
            "d.toml, line 6: pools.app.push.name_hash_key_file: the key must have at least 16 bytes",
        ),
        (
            format!("{ISSUER}{}{}", apns("a", with_key), apns("a", with_key)),
            "d.toml, line 9: pools.app.push.apns.app: the app a is configured twice",
        ),
        (format!("{ISSUER}{webpush}"), "d.toml, line 7: pools.app.push.webpush.contact: must be a mailto: or https: address"),
        (
            format!("{ISSUER}{}", apns("a", "server = \"ftp://x\"\nkey_file = \"HERE/k.pem\"\nkey_id = \"K\"\nteam_id = \"T\"")),
            "d.toml, line 7: pools.app.push.apns.server: ftp://x must be https://host",
        ),
        (
            format!(
                "{ISSUER}{}{}",
                apns("a", "key_file = \"HERE/bom.pem\"\nkey_id = \"K\"\nteam_id = \"T\""),
                apns("b", "certificate_file = \"/nonexistent.pem\"")
            ),
            "d.toml, line 12: pools.app.push.apns.certificate_file: /nonexistent.pem: No such file",
        ),
    ] {
        let error = file_errors(&text);
        assert!(error.contains(says) && !error.contains("hunter2"), "{text}\n  says   {error}\n  not    {says}");
    }
    let both = file_errors(&format!("{ISSUER}[tls]\nkey = \"HERE/c.pem\"\ncertificate = \"HERE/k.pem\""));
    assert!(both.contains("line 6: tls.key: ") && both.contains("line 7: tls.certificate: "), "{both}");
}

/// Holds for every secret that there is, and that will be: a container's secrets are files.
#[test]
fn every_secret_can_stand_in_a_file() {
    for secret in SETTINGS.iter().filter(|setting| setting.is_secret) {
        assert!(SETTINGS.iter().any(|setting| setting.name == format!("{}_file", secret.name)), "{} has no file", secret.name);
    }
    let folder = tempfile::TempDir::new().expect("a folder");
    let (config, key) = (folder.path().join("d.toml"), folder.path().join("key"));
    std::fs::write(&key, format!("{SECRET}\n")).expect("writes");
    std::fs::write(&config, format!("{ISSUER}[pools.app.push]\nname_hash_key_file = {key:?}\n")).expect("writes");
    let config = read(Some(&config), &Environment::default(), &Flags::default()).expect("reads");
    assert_eq!(config.pools["app"].push.name_hash_key.as_deref(), Some(SECRET));
}

#[test]
fn a_port_of_its_own_is_asked_for_if_the_default_one_is_in_use() {
    let check = |listen: &str, admin: &str| {
        let folder = tempfile::TempDir::new().expect("a folder");
        let file = folder.path().join("d.toml");
        std::fs::write(&file, format!("listen = {listen:?}\n{ISSUER}{admin}")).expect("writes");
        read(Some(&file), &Environment::default(), &Flags::default())
            .and_then(|config| config.check_production())
            .map_err(|why| why.to_string())
    };
    for listen in ["7401", ":7401", "0.0.0.0:7401", "127.0.0.1:7401", "[::]:7401", "[::ffff:127.0.0.1]:7401"] {
        let error = check(listen, "").expect_err(listen);
        assert!(
            error.contains("d.toml, line 1: admin.listen is 127.0.0.1:7401, and listen, ") && error.contains("the same port"),
            "{error}"
        );
    }
    for (listen, admin) in [
        ("7400", ""),
        ("192.0.2.1:7401", ""),
        ("127.0.0.1:0", ""),
        ("[::1]:7401", ""),
        ("0.0.0.0:7402", "[admin]\nlisten = \"[::1]:7402\""),
        ("7401", "[admin]\nlisten = \"7401\""),
        ("0.0.0.0:7401", "[admin]\nlisten = \"0.0.0.0:7401\""),
        ("0.0.0.0:7401", "[admin]\nlisten = \"7402\""),
    ] {
        assert_eq!(check(listen, admin), Ok(()), "{listen}");
    }
    // `driftless dev` has one port for all.
    let dev = read(None, &[("DRIFTLESS_LISTEN", "7401")].into_iter().collect(), &Flags::default()).expect("reads");
    assert!(dev.for_development("k").admin_http().is_none());
}

#[test]
fn the_help_of_a_number_names_its_bounds() {
    let help = |name: &str| SETTINGS.iter().find(|setting| setting.name == name).expect(name).description();
    assert!(help("pools.*.link_fresh_s").contains("30 to 86400"));
    assert!(help("pools.*.wakes.web_burst").ends_with("At most 3600."));
    for setting in SETTINGS.iter() {
        if let ValueForm::Number { min, max: 2..=1_073_741_824 } = setting.form() {
            assert!(min <= 1 || setting.description().contains(&min.to_string()), "{}", setting.name);
        }
    }
}

#[test]
fn what_would_not_fit_a_row_or_leave_no_space_is_refused_with_the_bound() {
    let check = |text: &str| {
        let folder = tempfile::TempDir::new().expect("a folder");
        let file = folder.path().join("d.toml");
        std::fs::write(&file, format!("{ISSUER}{text}")).expect("writes");
        read(Some(&file), &Environment::default(), &Flags::default()).map(drop).map_err(|why| why.to_string())
    };
    let policies =
        |count: usize| format!("[pools.app.datasets]\n{}", (0..count).map(|n| format!("d{n} = \"reject\"\n")).collect::<String>());
    assert_eq!(check(&policies(256)), Ok(()));
    let error = check(&policies(257)).expect_err("too many");
    assert!(error.contains("pools.app.datasets has 257 policies, at most 256 fit"), "{error}");
    let error = check("[pools.app.limits]\ndevices = 2730\n").expect_err("the devices take it all");
    assert!(error.contains("pools.app.identity_bytes is 1073741824, and the 2730 devices"), "{error}");
    assert_eq!(check("[pools.app.limits]\ndevices = 2729\n"), Ok(()));
    assert!(check("[pools.app.limits]\ndataset_bytes = 1073741825\n").is_err());
}
