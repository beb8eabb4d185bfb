//! The claims of the tokens of a sign-in. Pure.
//!
//! Source: "Understanding the identity (ID) token" and "Understanding the access token" in the Amazon Cognito developer guide.

use serde_json::{Map, Value, json};

use super::attributes::{EMAIL_VERIFIED, PHONE_VERIFIED};
use crate::store::User;

/// The scope of access tokens that the user's own operations ask for.
pub const SELF_SERVICE_SCOPE: &str = "aws.cognito.signin.user.admin";

/// What the claims are made of.
#[derive(Clone, Copy, Debug)]
pub struct TokenSubject<'a> {
    pub issuer: &'a str,
    pub client: &'a str,
    pub user: &'a User,
    /// The id of the family, which both tokens have as `origin_jti`.
    pub family: &'a str,
    /// When the user proved to be who they are.
    pub auth_s: u64,
    pub now_s: u64,
    /// The attributes that the client may read; all, if it names none.
    pub read: &'a [String],
}

/// The claims of an ID token.
pub fn id_claims(of: &TokenSubject<'_>, jti: &str, life_s: u32) -> Vec<u8> {
    let mut claims = common(of, jti, life_s, "id");
    claims.insert("aud".to_owned(), json!(of.client));
    claims.insert("cognito:username".to_owned(), json!(of.user.username));
    for (name, value) in &of.user.attributes {
        if of.read.is_empty() || of.read.contains(name) {
            claims.insert(name.clone(), claim(name, value));
        }
    }
    // What an attribute could be called does not matter: these come last.
    claims.extend(common(of, jti, life_s, "id"));
    Value::Object(claims).to_string().into_bytes()
}

/// The claims of an access token. It has no `aud`, so nobody takes it for an ID token.
pub fn access_claims(of: &TokenSubject<'_>, jti: &str, life_s: u32) -> Vec<u8> {
    let mut claims = common(of, jti, life_s, "access");
    claims.insert("client_id".to_owned(), json!(of.client));
    claims.insert("scope".to_owned(), json!(SELF_SERVICE_SCOPE));
    claims.insert("username".to_owned(), json!(of.user.username));
    Value::Object(claims).to_string().into_bytes()
}

fn common(of: &TokenSubject<'_>, jti: &str, life_s: u32, token_use: &str) -> Map<String, Value> {
    let claims = json!({
        "sub": of.user.sub,
        "iss": of.issuer,
        "origin_jti": of.family,
        "event_id": of.family,
        "token_use": token_use,
        "auth_time": of.auth_s,
        "iat": of.now_s,
        "exp": of.now_s.saturating_add(u64::from(life_s)),
        "jti": jti,
    });
    match claims {
        Value::Object(claims) => claims,
        _ => Map::new(),
    }
}

fn claim(name: &str, value: &str) -> Value {
    match name {
        EMAIL_VERIFIED | PHONE_VERIFIED => json!(value == "true"),
        "address" => json!({ "formatted": value }),
        "updated_at" => value.parse::<u64>().map_or_else(|_| json!(value), |at| json!(at)),
        _ => json!(value),
    }
}

/// What an access token says, once its signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessClaims {
    pub sub: String,
    pub username: String,
    pub client: String,
    pub family: String,
    pub exp_s: u64,
}

/// Reads the claims of an access token of an issuer; `None` of an ID token, and of another issuer's.
pub fn read_access_claims(claims: &[u8], issuer: &str) -> Option<AccessClaims> {
    let claims: Value = serde_json::from_slice(claims).ok()?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let has_scope = text("scope")?.split(' ').any(|scope| scope == SELF_SERVICE_SCOPE);
    if text("token_use")? != "access" || text("iss")? != issuer || !has_scope {
        return None;
    }
    let own = |name: &str| text(name).map(str::to_owned);
    Some(AccessClaims {
        sub: own("sub")?,
        username: own("username")?,
        client: own("client_id")?,
        family: own("origin_jti")?,
        exp_s: claims.get("exp")?.as_u64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::user_of_test;

    #[test]
    fn an_id_token_is_no_access_token_and_an_access_token_has_no_audience() {
        let mut user = user_of_test("ann");
        user.attributes = vec![
            ("custom:iss".to_owned(), "x".to_owned()),
            ("email".to_owned(), "ann@example.com".to_owned()),
            ("email_verified".to_owned(), "true".to_owned()),
            ("iss".to_owned(), "https://forged.example".to_owned()),
            ("name".to_owned(), "Ann \"\u{1f600}\"".to_owned()),
        ];
        let of = TokenSubject { issuer: "http://a/local_b", client: "c", user: &user, family: "f", auth_s: 5, now_s: 7, read: &[] };
        let id: Value = serde_json::from_slice(&id_claims(&of, "j", 60)).expect("JSON");
        assert_eq!(
            (&id["aud"], &id["iss"], &id["exp"], &id["token_use"]),
            (&json!("c"), &json!("http://a/local_b"), &json!(67), &json!("id"))
        );
        assert_eq!((&id["email_verified"], &id["name"], &id["auth_time"]), (&json!(true), &json!("Ann \"\u{1f600}\""), &json!(5)));
        assert_eq!(read_access_claims(&id_claims(&of, "j", 60), "http://a/local_b"), None);
        let access = access_claims(&of, "j", 60);
        assert!(serde_json::from_slice::<Value>(&access).expect("JSON").get("aud").is_none());
        assert_eq!(read_access_claims(&access, "http://a/local_c"), None);
        let read = read_access_claims(&access, "http://a/local_b").expect("an access token");
        assert_eq!((read.username.as_str(), read.client.as_str(), read.family.as_str(), read.exp_s), ("ann", "c", "f", 67));
    }

    #[test]
    fn a_client_sees_what_it_may_read() {
        let mut user = user_of_test("ann");
        user.attributes = vec![("email".to_owned(), "a@b".to_owned()), ("name".to_owned(), "Ann".to_owned())];
        let read = ["name".to_owned()];
        let of = TokenSubject { issuer: "i", client: "c", user: &user, family: "f", auth_s: 5, now_s: 7, read: &read };
        let id: Value = serde_json::from_slice(&id_claims(&of, "j", 60)).expect("JSON");
        assert_eq!((id.get("email"), &id["name"]), (None, &json!("Ann")));
    }
}
