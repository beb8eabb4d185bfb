//! Attacks with the claims and the header of a genuinely signed token (RFC 8725 sections 2.7, 2.8, 3.8 to 3.11).
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::super::support::*;
use super::super::{LEEWAY_S, TokenRefusal};

#[tokio::test]
async fn wrong_issuer() {
    let without_slash = refused(&shared_verifier(), &shared_token(claims_with(json!({"iss": "https://issuer.example"})))).await;
    assert_eq!(
        (without_slash, without_slash.code()),
        (TokenRefusal::IssuerSlash, "unknown_issuer"),
        "the comparison is exact, and says so"
    );
    for iss in ["HTTPS://ISSUER.EXAMPLE/", "https://issuer.example/x", "", "https://evil.example/"] {
        let refusal = refused(&shared_verifier(), &shared_token(claims_with(json!({"iss": iss})))).await;
        assert_eq!(refusal, TokenRefusal::UnknownIssuer, "{iss}");
    }
}

#[tokio::test]
async fn wrong_audience() {
    for aud in ["other-app", "notes", "notes-app2", "NOTES-APP", "notes-app ", "", "*"] {
        let refusal = refused(&shared_verifier(), &shared_token(claims_with(json!({"aud": aud})))).await;
        assert_eq!(refusal, TokenRefusal::WrongAudience, "{aud}");
    }
}

#[tokio::test]
async fn audience_arrays() {
    let verifier = shared_verifier();
    for aud in [json!([AUDIENCE]), json!(["other-app", AUDIENCE]), json!([AUDIENCE, AUDIENCE])] {
        accepted(&verifier, &shared_token(claims_with(json!({"aud": aud})))).await;
    }
    for aud in [json!([]), json!(["other-app"]), json!(["notes-app,other-app"])] {
        assert_eq!(refused(&verifier, &shared_token(claims_with(json!({"aud": aud})))).await, TokenRefusal::WrongAudience);
    }
    for aud in [json!([AUDIENCE, 1]), json!([[AUDIENCE]]), json!({"0": AUDIENCE}), json!(true), json!([AUDIENCE, null])] {
        assert_malformed(&shared_token(claims_with(json!({"aud": aud})))).await;
    }
}

#[tokio::test]
async fn missing_claims() {
    for name in ["iss", "aud", "sub", "exp"] {
        assert_malformed(&shared_token(claims_with(json!({name: null})))).await;
        let null = format!(r#"{{"{name}":null,{}"#, &claims_with(json!({name: null})).to_string()[1..]);
        assert_malformed(&shared_token(null)).await;
    }
}

#[tokio::test]
async fn duplicate_claims() {
    let honest = claims_with(json!({"nbf": NOW_S})).to_string();
    accepted(&shared_verifier(), &shared_token(&honest)).await;
    for twice in [
        r#""iss":"https://issuer.example/""#,
        r#""aud":"notes-app""#,
        r#""sub":"bob""#,
        r#""exp":1799999999"#,
        r#""nbf":0"#,
        r#""\u0073ub":"bob""#,
    ] {
        assert_malformed(&shared_token(format!("{{{twice},{}", &honest[1..]))).await;
        assert_malformed(&shared_token(format!("{},{twice}}}", honest.strip_suffix('}').unwrap()))).await;
    }
}

#[tokio::test]
async fn duplicate_header_members() {
    for header in [
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","kid":"a","kid":"b"}"#,
        r#"{"alg":"HS256","typ":"JWT","typ":"JWT"}"#,
        r#"{"alg":"HS256","\u0061lg":"HS256"}"#,
    ] {
        assert_malformed(&token(header, claims(), &TestSigner::shared())).await;
    }
}

#[tokio::test]
async fn wrong_type() {
    let verifier = shared_verifier();
    let typed = |typ| token(json!({"alg": "HS256", "typ": typ}), claims(), &TestSigner::shared());
    for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT"] {
        accepted(&verifier, &typed(json!(typ))).await;
    }
    for typ in ["logout+jwt", "secevent+jwt", "dpop+jwt", "JOSE", "jwt ", "", "application/", "text/jwt", "ß", "applicatioñ/jwt"] {
        assert_eq!(refused(&verifier, &typed(json!(typ))).await, TokenRefusal::WrongType, "{typ}");
    }
    assert_malformed(&typed(json!(null))).await;
    assert_malformed(&typed(json!(["JWT"]))).await;
}

#[tokio::test]
async fn critical_extensions() {
    for crit in [json!(["b64"]), json!(["exp"]), json!([]), json!(null), json!("b64")] {
        let header = json!({"alg": "HS256", "crit": crit, "b64": false});
        assert_malformed(&token(header, claims(), &TestSigner::shared())).await;
    }
}

#[tokio::test]
async fn edges_of_exp() {
    let (verifier, exp) = (shared_verifier(), NOW_S + 3600);
    let token = shared_token(claims_with(json!({"exp": exp})));
    assert_eq!(verifier.verify(&token, exp + LEEWAY_S - 1).await.unwrap().expires_s, exp);
    assert_eq!(verifier.verify(&token, exp + LEEWAY_S).await, Err(TokenRefusal::Expired));
    assert_eq!(verifier.verify(&token, u64::MAX).await, Err(TokenRefusal::Expired));
    assert_eq!(refused(&verifier, &shared_token(claims_with(json!({"exp": 0})))).await, TokenRefusal::Expired);
}

#[tokio::test]
async fn edges_of_nbf() {
    let (verifier, nbf) = (shared_verifier(), NOW_S);
    let token = shared_token(claims_with(json!({"nbf": nbf})));
    assert!(verifier.verify(&token, nbf - LEEWAY_S).await.is_ok());
    assert_eq!(verifier.verify(&token, nbf - LEEWAY_S - 1).await, Err(TokenRefusal::NotYetValid));
    assert_eq!(verifier.verify(&token, 0).await, Err(TokenRefusal::NotYetValid));
}

#[tokio::test]
async fn dates_that_are_none() {
    for date in [json!("1790003600"), json!(-1), json!(1e300), json!(1_790_003_600_000_u64), json!(u64::MAX), json!([]), json!(true)] {
        assert_malformed(&shared_token(claims_with(json!({"exp": date})))).await;
        assert_malformed(&shared_token(claims_with(json!({"nbf": date})))).await;
    }
}

async fn assert_malformed(token: &str) {
    let refusal = refused(&shared_verifier(), token).await;
    assert!(matches!(refusal, TokenRefusal::Malformed(_)), "{refusal:?}");
}
