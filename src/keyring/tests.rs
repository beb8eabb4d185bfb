//! Seals, wrapped rows and signing keys, as their callers use them.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use super::sealing::max_text_bytes;
use super::*;

const NOW_MS: u64 = 1_800_000_000_000;
const MINUTE_MS: u64 = 60_000;

fn wrapping_key() -> WrappingKey {
    WrappingKey::new(SecretKey::random().expect("a key"))
}

/// The rows of a keyring with these generations of each purpose.
fn rows(wrapping: &WrappingKey, numbers: std::ops::RangeInclusive<u32>) -> Vec<GenerationRow> {
    let all = numbers.flat_map(|number| Purpose::ALL.map(|purpose| (purpose, number)));
    all.map(|(purpose, number)| wrapping.new_generation(purpose, number, NOW_MS + u64::from(number)).expect("a row")).collect()
}

fn keyring() -> Keyring {
    let wrapping = wrapping_key();
    Keyring::unwrapped(&wrapping, &rows(&wrapping, 1..=1)).expect("unwraps")
}

fn account(number: u32) -> AccountNumber {
    AccountNumber::new(number).expect("a number")
}

#[test]
fn what_is_sealed_opens_for_its_kind_and_owner_and_for_nobody_else() {
    let keyring = keyring();
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..300 {
        let kind = TokenKind::ALL[random.usize(0..TokenKind::ALL.len())];
        let mut content = vec![0; random.usize(0..=kind.max_content_bytes())];
        random.fill(&mut content);
        let mut owner = vec![0; random.usize(1..40)];
        random.fill(&mut owner);
        let life_ms = random.u64(1..=kind.longest_life_ms());
        let text = keyring.seal_text(kind, &owner, NOW_MS, life_ms, &content).expect("seals");
        let open = |kind, owner: &[u8], now_ms| keyring.open_text(kind, owner, now_ms, &text).map(|content| content.to_vec());
        assert_eq!(open(kind, &owner, NOW_MS), Ok(content.clone()));
        assert_eq!(open(kind, &owner, NOW_MS + life_ms - 1), Ok(content));
        assert_eq!(open(kind, &owner, NOW_MS + life_ms), Err(OpenError::Expired));
        for other in TokenKind::ALL.into_iter().filter(|other| *other != kind) {
            assert_eq!(open(other, &owner, NOW_MS), Err(OpenError::Malformed), "{kind:?} as {other:?}");
        }
        let mut other = owner.clone();
        other[0] ^= 1;
        let longer = [&owner[..], &[0]].concat();
        for owner in [&other[..], &owner[1..], &longer, &[]] {
            assert_eq!(open(kind, owner, NOW_MS), Err(OpenError::Refused));
        }
        assert!(
            text.len() <= max_text_bytes(kind) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        );
    }
}

#[test]
fn a_token_that_is_altered_in_any_place_does_not_open() {
    let keyring = keyring();
    let kind = TokenKind::ChallengeSession;
    let sealed = keyring.seal_token(kind, b"owner", NOW_MS, MINUTE_MS, b"content").expect("seals");
    for at in 0..sealed.len() {
        for bit in 0..8 {
            let mut altered = sealed.clone();
            altered[at] ^= 1 << bit;
            assert!(keyring.open_token(kind, b"owner", NOW_MS, &altered).is_err(), "byte {at}, bit {bit}");
        }
    }
    for end in 0..sealed.len() {
        assert!(keyring.open_token(kind, b"owner", NOW_MS, &sealed[..end]).is_err(), "cut to {end}");
        assert!(keyring.open_token(kind, b"owner", NOW_MS, &sealed[sealed.len() - end..]).is_err(), "only the last {end}");
    }
    assert!(keyring.open_token(kind, b"owner", NOW_MS, &[&sealed[..], &[0]].concat()).is_err());
    // Each letter of the text, also those bits of the last one that stand for no byte.
    let text = keyring.seal_text(kind, b"owner", NOW_MS, MINUTE_MS, b"contents").expect("seals");
    for at in 0..text.len() {
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= \n\u{e4}".chars() {
            let altered: String = text.char_indices().map(|(here, old)| if here == at { letter } else { old }).collect();
            assert!(altered == text || keyring.open_text(kind, b"owner", NOW_MS, &altered).is_err(), "letter {at} as {letter:?}");
        }
    }
    for around in [format!(" {text}"), format!("{text}="), format!("{text}\n"), format!("{text}{text}"), format!("{text}A")] {
        assert!(keyring.open_text(kind, b"owner", NOW_MS, &around).is_err(), "{around:?}");
    }
}

#[test]
fn what_is_empty_or_huge_is_refused_before_it_is_read() {
    let keyring = keyring();
    let huge = "A".repeat(1024 * 1024);
    for kind in TokenKind::ALL {
        for text in ["", "A", "AQ", &huge, &"A".repeat(max_text_bytes(kind) + 1)] {
            assert_eq!(keyring.open_text(kind, b"owner", NOW_MS, text), Err(OpenError::Malformed));
        }
        assert_eq!(keyring.open_token(kind, b"owner", NOW_MS, huge.as_bytes()), Err(OpenError::Malformed));
        let full = vec![7; kind.max_content_bytes()];
        let text = keyring.seal_text(kind, &[1; 1024], NOW_MS, MINUTE_MS, &full).expect("seals");
        assert_eq!(text.len(), max_text_bytes(kind), "the bound is the largest token");
        assert_eq!(keyring.open_text(kind, &[1; 1024], NOW_MS, &text).as_deref(), Ok(&full));
        let seal = |owner: &[u8], life_ms, content: &[u8]| keyring.seal_text(kind, owner, NOW_MS, life_ms, content);
        assert_eq!(seal(b"owner", MINUTE_MS, &vec![7; kind.max_content_bytes() + 1]), Err(SealError::TooLarge));
        assert_eq!(seal(&[1; 1025], MINUTE_MS, b""), Err(SealError::TooLarge));
        assert_eq!(seal(b"owner", kind.longest_life_ms() + 1, b""), Err(SealError::LivesTooLong));
        assert_eq!(keyring.open_text(kind, &vec![1; 1024 * 1024], NOW_MS, &text), Err(OpenError::Malformed));
    }
    // As the service's model and a header's line of 8 KiB have it.
    assert!(max_text_bytes(TokenKind::ChallengeSession) <= 2048);
    assert!("X-Amz-Security-Token: ".len() + max_text_bytes(TokenKind::SessionToken) < 8 * 1024);
}

#[test]
fn the_end_of_time_is_no_overflow() {
    let keyring = keyring();
    let text = keyring.seal_text(TokenKind::NextToken, b"owner", u64::MAX, MINUTE_MS, b"x").expect("seals");
    assert_eq!(keyring.open_text(TokenKind::NextToken, b"owner", u64::MAX, &text), Err(OpenError::Expired));
}

#[test]
fn two_seals_of_the_same_share_nothing_but_their_header() {
    let keyring = keyring();
    let seal = || keyring.seal_token(TokenKind::SecretBlock, b"owner", NOW_MS, MINUTE_MS, b"same").expect("seals");
    let (one, two) = (seal(), seal());
    assert_eq!(one[..6], two[..6]);
    assert!(one[6..].iter().zip(&two[6..]).filter(|(one, two)| one == two).count() < 10);
}

#[test]
fn secrets_open_for_their_kind_and_owner_for_ever() {
    let keyring = keyring();
    let sealed = keyring.seal_secret(SecretKind::TotpSeed, b"pool/user", b"seed").expect("seals");
    let open = |kind, owner: &[u8], sealed: &[u8]| keyring.open_secret(kind, owner, sealed).map(|secret| secret.to_vec());
    assert_eq!(open(SecretKind::TotpSeed, b"pool/user", &sealed), Ok(b"seed".to_vec()));
    assert_eq!(open(SecretKind::TotpSeed, b"pool/other", &sealed), Err(OpenError::Refused));
    for kind in SecretKind::ALL.into_iter().filter(|kind| *kind != SecretKind::TotpSeed) {
        assert_eq!(open(kind, b"pool/user", &sealed), Err(OpenError::Malformed));
    }
    assert_eq!(keyring.open_token(TokenKind::SecretBlock, b"pool/user", NOW_MS, &sealed), Err(OpenError::Malformed));
    assert_eq!(keyring.seal_secret(SecretKind::ClientSecret, b"x", &vec![0; 16 * 1024 + 1]), Err(SealError::TooLarge));
    assert_eq!(open(SecretKind::ClientSecret, b"x", &vec![1; 1024 * 1024]), Err(OpenError::Malformed));
}

#[test]
fn the_newest_generation_seals_and_older_ones_open() {
    let wrapping = wrapping_key();
    let all = rows(&wrapping, 1..=3);
    let before = Keyring::unwrapped(&wrapping, &all[..3]).expect("unwraps");
    let after = Keyring::unwrapped(&wrapping, &all).expect("unwraps");
    let kind = TokenKind::NextToken;
    let old = before.seal_text(kind, b"o", NOW_MS, MINUTE_MS, b"old").expect("seals");
    let new = after.seal_text(kind, b"o", NOW_MS, MINUTE_MS, b"new").expect("seals");
    assert_eq!(after.open_text(kind, b"o", NOW_MS, &old).as_deref().map(Vec::as_slice), Ok(&b"old"[..]));
    // Another server made a generation: this one has to read the store.
    assert_eq!(before.open_text(kind, b"o", NOW_MS, &new), Err(OpenError::UnknownGeneration));
    // The old generation was dropped: what it sealed has expired.
    let dropped = Keyring::unwrapped(&wrapping, &all[6..]).expect("unwraps");
    assert_eq!(dropped.open_text(kind, b"o", NOW_MS, &old), Err(OpenError::Expired));
    assert_eq!(after.times(Purpose::Sts).iter().map(|one| one.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(Keyring::default().seal_text(kind, b"o", NOW_MS, MINUTE_MS, b""), Err(SealError::NoGeneration));
}

#[test]
fn only_a_number_just_ahead_is_worth_reading_the_store() {
    let wrapping = wrapping_key();
    let keyring = Keyring::unwrapped(&wrapping, &rows(&wrapping, 40..=40)).expect("unwraps");
    let mut sealed = keyring.seal_token(TokenKind::NextToken, b"o", NOW_MS, MINUTE_MS, b"").expect("seals");
    for (number, why) in [
        (0, OpenError::Expired),
        (39, OpenError::Expired),
        (41, OpenError::UnknownGeneration),
        (48, OpenError::UnknownGeneration),
        (49, OpenError::Refused),
        (u32::MAX, OpenError::Refused),
    ] {
        sealed[2..6].copy_from_slice(&u32::to_be_bytes(number));
        assert_eq!(keyring.open_token(TokenKind::NextToken, b"o", NOW_MS, &sealed), Err(why), "{number}");
        let id = AccessKeyId::temporary(number, account(7), 1);
        let derived = keyring.temporary_secret(&id).map(|_| ());
        let why = match number % 32 {
            8 => Ok(()),
            9..=16 => Err(OpenError::UnknownGeneration),
            _ => Err(OpenError::Expired),
        };
        assert_eq!(derived, why, "{id}");
        // A server that has read nothing yet knows nothing.
        let empty = Keyring::default();
        assert_eq!(empty.open_token(TokenKind::NextToken, b"o", NOW_MS, &sealed), Err(OpenError::UnknownGeneration), "{number}");
        assert_eq!(empty.temporary_secret(&id).map(|_| ()), Err(OpenError::UnknownGeneration), "{id}");
    }
}

#[test]
fn the_secret_of_a_temporary_key_is_known_from_its_id_alone() {
    let wrapping = wrapping_key();
    let all = rows(&wrapping, 1..=2);
    let (one, two) = (Keyring::unwrapped(&wrapping, &all[..3]), Keyring::unwrapped(&wrapping, &all));
    let (one, two) = (one.expect("unwraps"), two.expect("unwraps"));
    let (id, secret) = one.new_temporary_key(account(12), 99).expect("a key");
    assert_eq!((id.account(), id.to_string().len(), secret.expose().len()), (account(12), 20, 40));
    let read: AccessKeyId = id.to_string().parse().expect("an id");
    // Another server, and a later generation, know it as well.
    for keyring in [&one, &two] {
        assert_eq!(keyring.temporary_secret(&read).expect("derives").expose(), secret.expose());
    }
    for other in [AccessKeyId::temporary(1, account(12), 98), AccessKeyId::temporary(1, account(13), 99)] {
        assert_ne!(one.temporary_secret(&other).expect("derives").expose(), secret.expose());
    }
    let (newer, newer_secret) = two.new_temporary_key(account(12), 99).expect("a key");
    assert_ne!((newer, newer_secret.expose()), (id, secret.expose()));
    assert_eq!(one.temporary_secret(&newer).map(|_| ()), Err(OpenError::UnknownGeneration));
    assert_eq!(one.temporary_secret(&AccessKeyId::lasting(account(12), 1)).map(|_| ()), Err(OpenError::Malformed));
}

#[test]
fn a_session_token_is_bound_to_its_key_id() {
    let keyring = keyring();
    let (id, _) = keyring.new_temporary_key(account(1), 1).expect("a key");
    let (other, _) = keyring.new_temporary_key(account(1), 2).expect("a key");
    let of = |id: &AccessKeyId| id.to_string().into_bytes();
    let token = keyring.seal_text(TokenKind::SessionToken, &of(&id), NOW_MS, 60 * MINUTE_MS, b"who").expect("seals");
    assert!(keyring.open_text(TokenKind::SessionToken, &of(&id), NOW_MS, &token).is_ok());
    assert_eq!(keyring.open_text(TokenKind::SessionToken, &of(&other), NOW_MS, &token), Err(OpenError::Refused));
}

#[test]
fn a_store_that_another_key_file_wrapped_says_what_to_do() {
    let (wrapping, other) = (wrapping_key(), wrapping_key());
    let mut all = rows(&wrapping, 1..=1);
    let error = Keyring::unwrapped(&other, &all).map(|_| ()).expect_err("another key file");
    assert_eq!(error, UnwrapError::OtherKeyFile);
    assert!(error.to_string().contains("another key file") && error.to_string().contains("--new-keyring"), "{error}");
    // A row that somebody altered, or put in another's place, is damage.
    let whole = all[0].clone();
    let mut altered: Vec<GenerationRow> = Vec::new();
    altered.push(GenerationRow { number: 2, ..whole.clone() });
    altered.push(GenerationRow { made_ms: 0, ..whole.clone() });
    altered.push(GenerationRow { purpose: Purpose::Secret, ..whole.clone() });
    for at in [0, 9, 20, whole.wrapped.len() - 1] {
        let mut wrapped = whole.wrapped.clone();
        wrapped[at] ^= 1;
        altered.push(GenerationRow { wrapped, ..whole.clone() });
    }
    for end in [0, 1, 8, 9, 30, whole.wrapped.len() - 1] {
        altered.push(GenerationRow { wrapped: whole.wrapped[..end].to_vec(), ..whole.clone() });
    }
    for row in altered {
        all[0] = row;
        assert_eq!(Keyring::unwrapped(&wrapping, &all).map(|_| ()), Err(UnwrapError::Damaged), "{:?}", all[0]);
    }
}

#[test]
fn a_lasting_key_stays_while_generations_turn() {
    let wrapping = wrapping_key();
    let all = rows(&wrapping, 1..=3);
    let of = |rows: &[GenerationRow], label| {
        let keyring = Keyring::unwrapped(&wrapping, rows).expect("unwraps");
        keyring.lasting_key(label).map(|key| *key.bytes())
    };
    assert!(of(&all, "unknown users").is_some());
    assert_eq!(of(&all[..3], "unknown users"), of(&all, "unknown users"));
    assert_ne!(of(&all, "unknown users"), of(&all, "another use"));
    assert_eq!(of(&[], "unknown users"), None);
}

#[test]
fn tokens_are_signed_with_rs256_by_a_pair_that_survives_its_row() {
    let wrapping = wrapping_key();
    let pair = SigningKeyPair::generate().expect("a pair");
    let row = wrapping.signing_key_row("local_abcdefghi", &pair, NOW_MS).expect("wraps");
    let encoded = KeyringRow::SigningKey(row.clone()).encode().expect("encodes");
    let Ok(KeyringRow::SigningKey(row)) = KeyringRow::decode(&encoded) else { panic!("not the row") };
    let pair = wrapping.signing_key_pair(&row).expect("unwraps");
    let token = pair.sign(br#"{"sub":"alice","exp":4000000000,"iss":"i"}"#).expect("signs");

    let document: serde_json::Value = serde_json::from_str(&jwks([&pair])).expect("JSON");
    let key = &document["keys"][0];
    let names: Vec<_> = key.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(names, ["alg", "e", "kid", "kty", "n", "use"], "public members only");
    assert_eq!((key["kid"].as_str(), key["e"].as_str(), key["alg"].as_str()), (Some(pair.key_id()), Some("AQAB"), Some("RS256")));
    assert_eq!(key["n"].as_str().map(str::len), Some(342), "2,048 bits");

    let header = jsonwebtoken::decode_header(&token).expect("a header");
    assert_eq!((header.alg, header.kid.as_deref()), (Algorithm::RS256, Some(pair.key_id())));
    let public = DecodingKey::from_rsa_components(key["n"].as_str().expect("n"), key["e"].as_str().expect("e")).expect("a key");
    let claims = jsonwebtoken::decode::<serde_json::Value>(&token, &public, &Validation::new(Algorithm::RS256)).expect("verifies");
    assert_eq!(claims.claims["sub"], "alice");

    for altered in [
        SigningKeyRow { issuer: "local_another".to_owned(), ..row.clone() },
        SigningKeyRow { signs_from_ms: NOW_MS + 1, ..row.clone() },
        SigningKeyRow { key_id: "another".to_owned(), ..row.clone() },
        SigningKeyRow { wrapped: row.wrapped[1..].to_vec(), ..row.clone() },
    ] {
        assert_eq!(wrapping.signing_key_pair(&altered).map(|_| ()), Err(UnwrapError::Damaged));
    }
    assert_eq!(wrapping_key().signing_key_pair(&row).map(|_| ()), Err(UnwrapError::OtherKeyFile));
    assert!(SigningKeyPair::from_pkcs8(b"no key").is_err());
    let printed = format!("{pair:?}");
    assert!(printed.starts_with("SigningKeyPair { key_id: ") && printed.len() < 100, "{printed}");
}

#[test]
fn the_key_id_is_the_thumbprint_of_rfc_7638() {
    // The example of section 3.1 has a public key alone, so the hash is compared that the section prints, over its own members.
    let modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs\
        tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI\
        SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    assert_eq!(super::signing_key::thumbprint(modulus, "AQAB"), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

#[test]
fn a_keyring_does_not_print_its_keys() {
    assert_eq!(format!("{:?}", keyring()), "Keyring { generations: 3, .. }");
    assert_eq!(format!("{:?}", wrapping_key()), "WrappingKey(SecretKey)");
}
