//! The canonical form of a request (IAM User Guide, "Create a signed AWS API request", step 1).

use http::HeaderMap;

use super::authorization::SignedHeaderNames;
use super::fault::SignatureFault;
use super::presigned;
use crate::aws::parameters::Parameters;
use crate::aws::percent;

/// The two ways in which services have requests signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningRules {
    /// All services but S3: dot segments and empty segments are taken out of the path, which is encoded once more; the body is always signed.
    Standard,
    /// S3: the path as it was sent; the body need not be signed, and in a presigned URL it is not.
    S3,
}

/// The path, which is encoded already, in its canonical form.
pub(super) fn path(raw: &str, rules: SigningRules) -> String {
    match rules {
        SigningRules::Standard => percent::encode_path(normalized(raw).as_bytes()),
        SigningRules::S3 if raw.is_empty() => "/".to_owned(),
        SigningRules::S3 => raw.to_owned(),
    }
}

/// Without dot segments (RFC 3986 §5.2.4) and empty segments. More than one raw path has this form, so what serves a request must refuse all
/// but one of them; `aws/rest.rs` does.
fn normalized(raw: &str) -> String {
    let mut segments = Vec::new();
    for segment in raw.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let ends_in_folder = ["/", "/.", "/.."].iter().any(|end| raw.ends_with(end)) && !segments.is_empty();
    format!("/{}{}", segments.join("/"), if ends_in_folder { "/" } else { "" })
}

/// The query, encoded anew and sorted by name, then value; without the signature itself, which cannot cover itself.
pub(super) fn query(parameters: &Parameters, without_signature: bool) -> String {
    let kept = parameters.iter().filter(|(name, _)| !(without_signature && *name == presigned::SIGNATURE));
    let mut pairs: Vec<_> = kept.map(|(name, value)| (percent::encode(name.as_bytes()), percent::encode(value.as_bytes()))).collect();
    pairs.sort_unstable();
    let joined: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    joined.join("&")
}

/// The signed headers, a line each: values in their order, joined by commas, with outer spaces cut off and inner runs of spaces made one.
pub(super) fn headers(names: &SignedHeaderNames, headers: &HeaderMap) -> Result<Vec<u8>, SignatureFault> {
    let mut lines = Vec::new();
    for name in names.iter() {
        let mut values = headers.get_all(name).iter().peekable();
        if values.peek().is_none() {
            return Err(SignatureFault::AbsentHeader(name.to_owned()));
        }
        lines.extend_from_slice(name.as_bytes());
        for (at, value) in values.enumerate() {
            lines.push(if at == 0 { b':' } else { b',' });
            push_trimmed(&mut lines, value.as_bytes());
        }
        lines.push(b'\n');
    }
    Ok(lines)
}

fn push_trimmed(line: &mut Vec<u8>, value: &[u8]) {
    for (at, word) in value.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).enumerate() {
        if at > 0 {
            line.push(b' ');
        }
        line.extend_from_slice(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded_once_more_but_for_s3() {
        let raw = "/identitypools/us-east-1%3Aa/b~%20c";
        assert_eq!(path(raw, SigningRules::Standard), "/identitypools/us-east-1%253Aa/b~%2520c");
        assert_eq!(path(raw, SigningRules::S3), raw);
        for (raw, expected) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/a//b/", "/a/b/"),
            ("/a/./b/../c", "/a/c"),
            ("/../..", "/"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a/..b/.c", "/a/..b/.c"),
            ("/%2E%2E/a", "/%252E%252E/a"),
        ] {
            assert_eq!(path(raw, SigningRules::Standard), expected, "{raw}");
        }
        assert_eq!(path("/a//../b", SigningRules::S3), "/a//../b");
    }

    #[test]
    fn queries_are_sorted_by_encoded_name_then_value() {
        // Sorting whole pairs would put `a-b=` before `a=`.
        let read = Parameters::parse(b"a-b=1&a=2&a=10&a&B=%2F&b=x+y&X-Amz-Signature=s", 20).unwrap();
        assert_eq!(query(&read, true), "B=%2F&a=&a=10&a=2&a-b=1&b=x%20y");
        assert_eq!(query(&read, false), "B=%2F&X-Amz-Signature=s&a=&a=10&a=2&a-b=1&b=x%20y");
    }
}
