//! Which algorithms are verified with which keys, and which keys of a set are tried for a token. Every key is a real one.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::config::MAX_TRIED_KEYS;
use super::support::*;
use super::{IssuerConfig, TokenRefusal, Verifier};

/// Every algorithm of the JOSE registry that this server knows, and which signers have a key that fits it.
const ALGORITHMS: [(&str, &str); 15] = [
    ("HS256", "secret"),
    ("HS384", "secret"),
    ("HS512", "secret"),
    ("RS256", "RSA"),
    ("RS384", "RSA"),
    ("RS512", "RSA"),
    ("PS256", "RSA"),
    ("PS384", "RSA"),
    ("PS512", "RSA"),
    ("ES256", "P-256"),
    ("ES384", "P-384"),
    ("ES512", "P-521"),
    ("ES256K", "secp256k1"),
    ("EdDSA", "Ed25519"),
    ("Ed25519", "Ed25519"),
];

fn public_signers() -> [(&'static str, &'static TestSigner); 6] {
    [("RSA", &RSA), ("P-256", &P256), ("P-384", &P384), ("P-521", &P521), ("secp256k1", &SECP256K1), ("Ed25519", &ED25519)]
}

#[tokio::test]
async fn each_algorithm_is_verified_with_the_kind_of_key_that_it_is_for_and_with_no_other() {
    let long_secret = "a secret of more than 64 bytes, which is as long as the longest hash, SHA-512";
    let shared = TestSigner::Shared(long_secret.into());
    let of_secret = verifier_of(&[(POOL, IssuerConfig { secret: Some(long_secret.to_owned()), ..shared_config() })]).unwrap();
    for (alg, kind) in ALGORITHMS {
        let verdict = of_secret.verify(&token_with(&shared, alg, None), NOW_S).await.map(drop);
        assert_eq!(verdict, if kind == "secret" { Ok(()) } else { Err(TokenRefusal::WrongAlgorithm) }, "{alg} with a secret");
        for (own, signer) in public_signers() {
            for verifier in [keys_verifier(&[signer.jwk("k")]), file_verifier(signer.pem()).unwrap()] {
                let verdict = verifier.verify(&token_with(signer, alg, Some("k")), NOW_S).await.map(drop);
                assert_eq!(verdict, if kind == own { Ok(()) } else { Err(TokenRefusal::WrongAlgorithm) }, "{alg} with {own}");
            }
        }
    }
}

#[tokio::test]
async fn a_secret_is_at_least_as_long_as_the_hash_of_its_algorithm() {
    for (alg, bytes) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
        for (length, verdict) in [(bytes, Ok(())), (bytes - 1, Err(TokenRefusal::WrongAlgorithm))] {
            let secret = "s".repeat(length);
            let config = IssuerConfig { secret: Some(secret.clone()), ..shared_config() };
            let Ok(verifier) = verifier_of(&[(POOL, config)]) else {
                assert!(length < 32, "{length}");
                continue;
            };
            let token = token_with(&TestSigner::Shared(secret.into()), alg, None);
            assert_eq!(verifier.verify(&token, NOW_S).await.map(drop), verdict, "{alg} with {length} bytes");
        }
    }
}

#[tokio::test]
async fn a_keys_own_alg_narrows_it() {
    let verifier = keys_verifier(&[with(RSA.jwk("k"), "alg", "PS256"), with(ED25519.jwk("e"), "alg", "Ed25519")]);
    accepted(&verifier, &token_with(&RSA, "PS256", Some("k"))).await;
    for alg in ["RS256", "RS512", "PS384", "PS512"] {
        assert_eq!(refused(&verifier, &token_with(&RSA, alg, Some("k"))).await, TokenRefusal::WrongAlgorithm, "{alg}");
    }
    // Both names mean the same algorithm with this curve.
    accepted(&verifier, &token_with(&ED25519, "EdDSA", Some("e"))).await;
    accepted(&verifier, &token_with(&ED25519, "Ed25519", Some("e"))).await;
}

/// A row: what the set is, its keys, a token, and the verdict.
type ChoiceRow = (&'static str, Vec<Value>, String, Result<(), TokenRefusal>);

#[tokio::test]
async fn all_keys_that_fit_are_tried() {
    let (first, second) = (TestSigner::new_p256(), TestSigner::new_p256());
    let signed = |signer: &TestSigner, kid: Option<&str>| token_with(signer, signer.alg(), kid);
    let other = TestSigner::new_p256();
    let rows: Vec<ChoiceRow> = vec![
        ("one kid for an EC and an RSA key", vec![P256.jwk("k"), RSA.jwk("k")], signed(&RSA, Some("k")), Ok(())),
        ("the same, the other way round", vec![RSA.jwk("k"), P256.jwk("k")], signed(&P256, Some("k")), Ok(())),
        ("one kid for two keys of a kind", vec![first.jwk("k"), second.jwk("k")], signed(&second, Some("k")), Ok(())),
        ("one kid twice, another key", vec![first.jwk("k"), second.jwk("k")], signed(&other, Some("k")), Err(TokenRefusal::BadSignature)),
        (
            "one key listed for each algorithm",
            vec![with(RSA.jwk("k"), "alg", "RS512"), with(RSA.jwk("k"), "alg", "RS256"), with(RSA.jwk("k"), "alg", "RSA-OAEP")],
            signed(&RSA, Some("k")),
            Ok(()),
        ),
        ("no kid beside two keys of two kinds", vec![P256.jwk("a"), RSA.jwk("b")], signed(&RSA, None), Ok(())),
        ("no kid beside two keys of a kind", vec![first.jwk("a"), second.jwk("b")], signed(&second, None), Ok(())),
        ("no kid, another key", vec![first.jwk("a"), second.jwk("b")], signed(&other, None), Err(TokenRefusal::BadSignature)),
        ("no kid, no key of the kind", vec![first.jwk("a"), second.jwk("b")], signed(&RSA, None), Err(TokenRefusal::WrongAlgorithm)),
        ("keys without kid", vec![nameless(&first), nameless(&second)], signed(&second, Some("any")), Ok(())),
        ("a key without kid beside a named one", vec![first.jwk("a"), nameless(&second)], signed(&second, Some("b")), Ok(())),
        ("the named key first", vec![nameless(&first), second.jwk("b")], signed(&second, Some("b")), Ok(())),
        ("another kid", vec![first.jwk("a"), second.jwk("b")], signed(&second, Some("c")), Err(TokenRefusal::UnknownKey)),
        ("the kid of another key", vec![first.jwk("a"), second.jwk("b")], signed(&second, Some("a")), Err(TokenRefusal::BadSignature)),
        ("use enc", vec![with(first.jwk("k"), "use", "enc"), second.jwk("k")], signed(&first, Some("k")), Err(TokenRefusal::BadSignature)),
        ("use sig beside enc", vec![with(first.jwk("k"), "use", "enc"), second.jwk("k")], signed(&second, Some("k")), Ok(())),
        (
            "key_ops without verify",
            vec![with_operations(first.jwk("k"), &["sign"]), second.jwk("l")],
            signed(&first, Some("k")),
            Err(TokenRefusal::UnknownKey),
        ),
        ("key_ops with verify", vec![with_operations(first.jwk("k"), &["sign", "verify"])], signed(&first, Some("k")), Ok(())),
        ("a certificate chain beside the key", vec![with(first.jwk("k"), "x5t", "AAAA")], signed(&first, Some("k")), Ok(())),
        (
            "kinds that are not known",
            vec![
                json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "k", "pub": "AAAA"}),
                json!({"kty": "OKP", "crv": "Ed448", "kid": "k", "x": "AAAA"}),
                json!({"kty": "oct", "kid": "k", "k": "AAAA"}),
                json!({"kty": 7, "kid": "k"}),
                json!("no key"),
                second.jwk("k"),
            ],
            signed(&second, Some("k")),
            Ok(()),
        ),
    ];
    for (what, keys, token, verdict) in rows {
        assert_eq!(keys_verifier(&keys).verify(&token, NOW_S).await.map(drop), verdict, "{what}");
    }
}

#[tokio::test]
async fn a_token_is_tried_with_a_bounded_number_of_keys() {
    let signers: Vec<_> = (0..=MAX_TRIED_KEYS).map(|_| TestSigner::new_p256()).collect();
    let verifier = keys_verifier(&signers.iter().map(|signer| signer.jwk("k")).collect::<Vec<_>>());
    accepted(&verifier, &token_of(&signers[MAX_TRIED_KEYS - 1], "k")).await;
    assert_eq!(refused(&verifier, &token_of(&signers[MAX_TRIED_KEYS], "k")).await, TokenRefusal::BadSignature);
    // Keys that do not fit are not counted.
    let keys: Vec<_> = (0..=MAX_TRIED_KEYS).map(|_| ED25519.jwk("k")).chain([P256.jwk("k")]).collect();
    accepted(&keys_verifier(&keys), &token_of(&P256, "k")).await;
}

#[tokio::test]
async fn the_tenants_of_a_template_are_different_people() {
    let verifier = template_verifier(&[P256.jwk("k")]);
    let of_tenant = |iss: &str| token(json!({"alg": "ES256", "kid": "k"}), claims_with(json!({"iss": iss})), &P256);
    let login = accepted(&verifier, &of_tenant("https://login.example/tenant-1/v2.0")).await;
    assert_eq!(&*login.issuer, "https://login.example/tenant-1/v2.0");
    assert_ne!(accepted(&verifier, &of_tenant("https://login.example/tenant-2/v2.0")).await.issuer, login.issuer);
    for iss in ["https://login.example/a/b/v2.0", "https://login.example/{tenantid}/v2.0", "https://login.example//v2.0"] {
        assert_eq!(refused(&verifier, &of_tenant(iss)).await, TokenRefusal::UnknownIssuer, "{iss}");
    }
}

#[tokio::test]
async fn a_key_that_names_a_tenant_signs_for_that_tenant_only() {
    let consumers = "https://login.example/consumers-1/v2.0";
    let verifier = template_verifier(&[
        with(P256.jwk("any"), "issuer", "https://login.example/{tenantid}/v2.0"),
        with(ED25519.jwk("consumers"), "issuer", consumers),
    ]);
    let of_tenant = |signer: &TestSigner, kid: &str, iss: &str| {
        token(json!({"alg": signer.alg(), "kid": kid}), claims_with(json!({"iss": iss})), signer)
    };
    accepted(&verifier, &of_tenant(&P256, "any", "https://login.example/work-1/v2.0")).await;
    accepted(&verifier, &of_tenant(&ED25519, "consumers", consumers)).await;
    // An issuer without tenants is named exactly, and its keys may name another version of it.
    let exact = IssuerConfig { issuer: "https://sts.example/consumers-1/".to_owned(), ..shared_config() };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!({ "keys": [with(P256.jwk("k"), "issuer", consumers)] }).to_string()).unwrap();
    let config = IssuerConfig { keys_file: Some(file.path().to_owned()), secret: None, ..exact };
    let of_exact = token(json!({"alg": "ES256", "kid": "k"}), claims_with(json!({"iss": "https://sts.example/consumers-1/"})), &P256);
    accepted(&verifier_of(&[(POOL, config)]).unwrap(), &of_exact).await;
    let crossed = of_tenant(&ED25519, "consumers", "https://login.example/work-1/v2.0");
    assert_eq!(refused(&verifier, &crossed).await, TokenRefusal::UnknownKey, "its issuer has no such key");
    let other_algorithm = token(json!({"alg": "RS256", "kid": "any"}), claims_with(json!({"iss": consumers})), &RSA);
    assert_eq!(refused(&verifier, &other_algorithm).await, TokenRefusal::WrongAlgorithm, "it has that key, for another algorithm");
}

#[tokio::test]
async fn another_claim_names_the_audience() {
    let access = IssuerConfig { audience_claim: "client_id".to_owned(), ..shared_config() };
    let verifier = verifier_of(&[(POOL, access.clone())]).unwrap();
    accepted(&verifier, &shared_token(claims_with(json!({"aud": null, "client_id": AUDIENCE})))).await;
    // A value of `aud` is not the audience now, whatever it is.
    accepted(&verifier, &shared_token(claims_with(json!({"aud": "account", "client_id": AUDIENCE})))).await;
    assert_eq!(refused(&verifier, &shared_token(claims_with(json!({"client_id": "other"})))).await, TokenRefusal::WrongAudience);
    let lacks = refused(&verifier, &shared_token(claims())).await;
    assert!(matches!(lacks, TokenRefusal::Malformed(why) if why.contains("audience")), "{lacks}");
    // One provider's two kinds of tokens, in one pool: each is found by the claim that it has.
    let both = Verifier::new([(POOL.into(), vec![shared_config(), access])]).unwrap();
    accepted(&both, &shared_token(claims())).await;
    accepted(&both, &shared_token(claims_with(json!({"aud": null, "client_id": AUDIENCE})))).await;
    accepted(&both, &shared_token(claims_with(json!({"client_id": AUDIENCE})))).await;
    assert_eq!(refused(&both, &shared_token(claims_with(json!({"aud": "x", "client_id": "y"})))).await, TokenRefusal::WrongAudience);
}

#[tokio::test]
async fn a_token_whose_two_claims_name_two_pools_is_for_neither() {
    let chat = IssuerConfig { audience_claim: "azp".to_owned(), audience: vec!["chat-app".to_owned()], ..shared_config() };
    let verifier = verifier_of(&[(POOL, shared_config()), ("chat", chat)]).unwrap();
    accepted(&verifier, &shared_token(claims_with(json!({"azp": "another"})))).await;
    assert_eq!(&*accepted(&verifier, &shared_token(claims_with(json!({"aud": "x", "azp": "chat-app"})))).await.pool, "chat");
    assert_eq!(refused(&verifier, &shared_token(claims_with(json!({"azp": "chat-app"})))).await, TokenRefusal::WrongAudience);
}

fn template_verifier(keys: &[Value]) -> Verifier {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!({ "keys": keys }).to_string()).unwrap();
    let issuer = "https://login.example/{tenantid}/v2.0".to_owned();
    verifier_of(&[(POOL, IssuerConfig { issuer, keys_file: Some(file.path().to_owned()), secret: None, ..shared_config() })]).unwrap()
}

fn with(mut jwk: Value, member: &str, value: &str) -> Value {
    jwk[member] = value.into();
    jwk
}

fn with_operations(mut jwk: Value, operations: &[&str]) -> Value {
    jwk["key_ops"] = json!(operations);
    jwk
}

fn nameless(signer: &TestSigner) -> Value {
    let mut jwk = signer.jwk("k");
    jwk.as_object_mut().unwrap().remove("kid");
    jwk
}
