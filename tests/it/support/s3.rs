//! A client of S3, whose rules for signatures are its own: a path is encoded once and not normalised, and the hash of the body is a header.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;

use super::aws::{AwsClient, form_encoded};
use super::{DeviceHttpResponse, raw_request};

/// How long what [`AwsClient::presigned`] returns is valid.
const PRESIGNED_LIFE: Duration = Duration::from_secs(60);

fn settings() -> SigningSettings {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings
}

type Pairs = Vec<(String, String)>;

impl AwsClient {
    /// A request of a path with a query, as a client of S3 signs it.
    pub async fn s3(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> DeviceHttpResponse {
        let all = [&[("host", "localhost")], headers].concat();
        let (more, _) = self.sign_s3(method, path, &all, SignableBody::Bytes(body.as_bytes()), settings());
        let own = headers.iter().copied().chain(more.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let lines: String = own.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.unsigned_s3(method, path, &lines, body).await
    }

    /// A request with these lines in its head and no other signature.
    pub async fn unsigned_s3(&self, method: &str, path: &str, lines: &str, body: &str) -> DeviceHttpResponse {
        let length = if matches!(method, "PUT" | "POST") { format!("content-length: {}\r\n", body.len()) } else { String::new() };
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{lines}{length}");
        raw_request(self.address, format!("{head}\r\n{body}").as_bytes()).await
    }

    /// The path and query of a request that needs no further signature.
    pub fn presigned(&self, method: &str, path: &str) -> String {
        let mut settings = settings();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
        settings.expires_in = Some(PRESIGNED_LIFE);
        let (_, query) = self.sign_s3(method, path, &[("host", "localhost")], SignableBody::UnsignedPayload, settings);
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{}={}", form_encoded(name), form_encoded(value))).collect();
        let joint = if path.contains('?') { '&' } else { '?' };
        format!("{path}{joint}{}", query.join("&"))
    }

    /// The headers and the parts of the query that sign a request.
    fn sign_s3(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: SignableBody<'_>,
        settings: SigningSettings,
    ) -> (Pairs, Pairs) {
        let identity = Credentials::new(&self.key, &self.secret, self.token.clone(), None, "test").into();
        let params = v4::SigningParams::builder().identity(&identity).region("local").name("s3").time(SystemTime::now());
        let params = params.settings(settings).build().unwrap().into();
        let url = format!("http://localhost{path}");
        let signable = SignableRequest::new(method, url, headers.iter().copied(), body).unwrap();
        let (headers, query) = sign(signable, &params).unwrap().into_parts().0.into_parts();
        let headers = headers.iter().map(|header| (header.name().to_owned(), header.value().to_owned())).collect();
        (headers, query.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect())
    }
}
