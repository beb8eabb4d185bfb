//! What a signing key is good for: a day, a region, a service.

use super::fault::SignatureFault;

/// IAM's access key ids have 16 to 128 characters (IAM API Reference, `AccessKey`); public keys of a development server may be shorter.
const MAX_ACCESS_KEY_ID_BYTES: usize = 128;

/// The longest region of AWS has 14 characters.
const MAX_REGION_BYTES: usize = 64;

/// The longest name of a service in a scope has about 30 characters.
const MAX_SERVICE_BYTES: usize = 64;

/// The last part of each scope.
const TERMINATION: &str = "aws4_request";

/// The scope of a signature: `20150830/us-east-1/iam/aws4_request`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CredentialScope {
    /// Eight digits.
    pub day: String,
    /// Any name of letters, digits, `-` and `_`; a caller that cares compares it.
    pub region: String,
    /// As it stands in the scope; not necessarily one of this server's.
    pub service: String,
}

/// `Credential`: an access key id, and the scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credential {
    pub(super) access_key_id: String,
    pub(super) scope: CredentialScope,
}

impl Credential {
    pub(super) fn parse(text: &str) -> Result<Credential, SignatureFault> {
        const FORM: SignatureFault =
            SignatureFault::Incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.");
        let mut parts = text.splitn(6, '/');
        let mut next = || parts.next().ok_or(FORM);
        let (access_key_id, day, region, service, termination) = (next()?, next()?, next()?, next()?, next()?);
        if parts.next().is_some() {
            return Err(FORM);
        }
        let is_name = |text: &str, most: usize| {
            !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if !is_name(access_key_id, MAX_ACCESS_KEY_ID_BYTES) {
            return Err(SignatureFault::Incomplete("Credential has no valid access key id."));
        }
        if day.len() != 8 || !day.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(SignatureFault::Incomplete("Credential has no valid date; it must be in the form YYYYMMDD."));
        }
        if !is_name(region, MAX_REGION_BYTES) {
            return Err(SignatureFault::Incomplete("Credential has no valid region."));
        }
        if !is_name(service, MAX_SERVICE_BYTES) {
            return Err(SignatureFault::Incomplete("Credential has no valid service."));
        }
        if termination != TERMINATION {
            return Err(SignatureFault::Incomplete("Credential should be scoped with a valid terminator: 'aws4_request'."));
        }
        let scope = CredentialScope { day: day.to_owned(), region: region.to_owned(), service: service.to_owned() };
        Ok(Credential { access_key_id: access_key_id.to_owned(), scope })
    }
}

impl CredentialScope {
    /// As it stands in the string to sign.
    pub(super) fn text(&self) -> String {
        format!("{}/{}/{}/{TERMINATION}", self.day, self.region, self.service)
    }

    pub(super) fn parts(&self) -> [&str; 4] {
        [&self.day, &self.region, &self.service, TERMINATION]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_has_exactly_five_parts() {
        let read = Credential::parse("AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request").unwrap();
        assert_eq!((read.access_key_id.as_str(), read.scope.text().as_str()), ("AKIDEXAMPLE", "20150830/us-east-1/iam/aws4_request"));
        let long = "A".repeat(129);
        for wrong in [
            "",
            "A",
            "A/20150830/us-east-1/iam",
            "A/20150830/us-east-1/iam/aws4_request/",
            "A/b/20150830/us-east-1/iam/aws4_request",
            "/20150830/us-east-1/iam/aws4_request",
            "A/2015083/us-east-1/iam/aws4_request",
            "A/2015083x/us-east-1/iam/aws4_request",
            "A/20150830//iam/aws4_request",
            "A/20150830/us-east-1//aws4_request",
            "A/20150830/us-east-1/iam/aws5_request",
            "A/20150830/us east/iam/aws4_request",
            "A\n/20150830/us-east-1/iam/aws4_request",
            &format!("{long}/20150830/us-east-1/iam/aws4_request"),
        ] {
            assert!(matches!(Credential::parse(wrong), Err(SignatureFault::Incomplete(_))), "{wrong}");
        }
    }
}
