//! The head of a request, as far as AWS's wire depends on it.

use http::HeaderMap;

/// Method, target and headers of a request, as they came.
#[derive(Clone, Copy)]
pub struct AwsRequestHead<'a> {
    pub method: &'a str,
    /// The path as it was sent, with its percent-encoding: a signature covers exactly this.
    pub path: &'a str,
    /// What followed the `?`, as it was sent; empty if nothing did.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
}

/// A header that may stand in a request once was there more often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepeatedHeader;

impl<'a> AwsRequestHead<'a> {
    /// The value of a header that is there at most once.
    pub fn single(&self, name: &str) -> Result<Option<&'a [u8]>, RepeatedHeader> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(RepeatedHeader),
            (value, None) => Ok(value.map(|value| value.as_bytes())),
        }
    }

    /// The first segment of the path, as it was sent.
    pub fn first_segment(&self) -> &'a str {
        let path = self.path.strip_prefix('/').unwrap_or(self.path);
        path.split('/').next().unwrap_or_default()
    }

    /// Whether the path is the root, which has all calls but those of cognito-sync and S3.
    pub fn is_root(&self) -> bool {
        self.path.is_empty() || self.path == "/"
    }
}
