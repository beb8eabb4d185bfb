//! Which headers let a page of another origin read an answer of a bucket: pure. Source: "Using cross-origin resource sharing (CORS)" (Amazon S3
//! User Guide), the Fetch standard.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName,
    HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Method};

use crate::store::CorsRule;

/// The answer's headers to a preflight with these; `None`: no rule allows what it asks.
pub fn preflight_headers(rules: &[CorsRule], asked: &HeaderMap) -> Option<HeaderMap> {
    let origin = text(asked, &ORIGIN)?;
    let method = text(asked, &ACCESS_CONTROL_REQUEST_METHOD)?;
    let names: Vec<String> = text(asked, &ACCESS_CONTROL_REQUEST_HEADERS)
        .unwrap_or_default()
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .collect();
    let allows = |name: &String, rule: &CorsRule| rule.allowed_headers.iter().any(|allowed| fits(&allowed.to_ascii_lowercase(), name));
    let rule = rules.iter().find(|rule| applies(rule, origin, method) && names.iter().all(|name| allows(name, rule)))?;
    let mut headers = of_rule(rule, origin);
    insert(&mut headers, ACCESS_CONTROL_ALLOW_METHODS, &rule.allowed_methods.join(", "));
    if !names.is_empty() {
        insert(&mut headers, ACCESS_CONTROL_ALLOW_HEADERS, &names.join(", "));
    }
    if let Some(max_age_s) = rule.max_age_s {
        insert(&mut headers, ACCESS_CONTROL_MAX_AGE, &max_age_s.to_string());
    }
    Some(headers)
}

/// The headers for the answer to a request itself; empty if no rule allows its page to read it.
pub(super) fn answer_headers(rules: &[CorsRule], method: &Method, asked: &HeaderMap) -> HeaderMap {
    let Some(origin) = text(asked, &ORIGIN) else { return HeaderMap::new() };
    rules.iter().find(|rule| applies(rule, origin, method.as_str())).map(|rule| of_rule(rule, origin)).unwrap_or_default()
}

fn of_rule(rule: &CorsRule, origin: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if rule.allowed_origins.iter().any(|allowed| allowed == "*") {
        insert(&mut headers, ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    } else {
        insert(&mut headers, ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        insert(&mut headers, ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
    if !rule.expose_headers.is_empty() {
        insert(&mut headers, ACCESS_CONTROL_EXPOSE_HEADERS, &rule.expose_headers.join(", "));
    }
    insert(&mut headers, VARY, "Origin, Access-Control-Request-Headers, Access-Control-Request-Method");
    headers
}

fn applies(rule: &CorsRule, origin: &str, method: &str) -> bool {
    rule.allowed_methods.iter().any(|allowed| allowed == method) && rule.allowed_origins.iter().any(|allowed| fits(allowed, origin))
}

/// Whether a text is that of a pattern, which has at most one `*`.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, end)) => text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(origin: &str, method: &str, names: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        insert(&mut headers, ORIGIN, origin);
        insert(&mut headers, ACCESS_CONTROL_REQUEST_METHOD, method);
        insert(&mut headers, ACCESS_CONTROL_REQUEST_HEADERS, names);
        headers
    }

    #[test]
    fn a_preflight_is_answered_by_the_first_rule_that_allows_all_that_it_asks() {
        let rule = CorsRule {
            allowed_origins: vec!["https://*.example.com".to_owned()],
            allowed_methods: vec!["PUT".to_owned()],
            allowed_headers: vec!["x-amz-*".to_owned()],
            max_age_s: Some(60),
            ..CorsRule::default()
        };
        let allowed = preflight_headers(std::slice::from_ref(&rule), &asked("https://a.example.com", "PUT", "X-Amz-Date, x-amz-acl"));
        let allowed = allowed.expect("is allowed");
        assert_eq!(allowed[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example.com");
        assert_eq!(allowed[ACCESS_CONTROL_ALLOW_HEADERS], "x-amz-date, x-amz-acl");
        for (origin, method, names) in [
            ("https://example.org", "PUT", ""),
            ("https://a.example.com", "DELETE", ""),
            ("https://a.example.com", "PUT", "authorization"),
            ("https://.example.co", "PUT", ""),
        ] {
            assert_eq!(preflight_headers(std::slice::from_ref(&rule), &asked(origin, method, names)), None, "{origin} {method} {names}");
        }
        assert_eq!(preflight_headers(&[], &asked("https://a.example.com", "PUT", "")), None);
    }
}
