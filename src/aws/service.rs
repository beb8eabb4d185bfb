//! The services that this server answers for, and how each of them is spoken to.

/// A service of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AwsService {
    S3,
    CognitoSync,
    CognitoIdentity,
    CognitoIdp,
    Sts,
    Iam,
    Sns,
}

/// The form of a service's requests, answers and errors (the Smithy specification, "AWS protocols").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AwsWire {
    /// A form in, XML out: "AWS query protocol".
    Query,
    /// One path, the operation in `X-Amz-Target`, JSON in and out: "AWS JSON 1.1 protocol".
    Json,
    /// Paths and methods, JSON bodies: "AWS restJson1 protocol".
    RestJson,
    /// Paths and methods, XML bodies, as S3 speaks it.
    S3,
}

impl AwsService {
    pub const ALL: [AwsService; 7] = [
        AwsService::S3,
        AwsService::CognitoSync,
        AwsService::CognitoIdentity,
        AwsService::CognitoIdp,
        AwsService::Sts,
        AwsService::Iam,
        AwsService::Sns,
    ];

    /// Its name in the credential scope of a signature, and before the colon of its actions in policies.
    pub fn name(self) -> &'static str {
        match self {
            AwsService::S3 => "s3",
            AwsService::CognitoSync => "cognito-sync",
            AwsService::CognitoIdentity => "cognito-identity",
            AwsService::CognitoIdp => "cognito-idp",
            AwsService::Sts => "sts",
            AwsService::Iam => "iam",
            AwsService::Sns => "sns",
        }
    }

    pub fn of_name(name: &str) -> Option<AwsService> {
        AwsService::ALL.into_iter().find(|service| service.name() == name)
    }

    /// What stands before the dot in `X-Amz-Target`.
    pub fn target_prefix(self) -> Option<&'static str> {
        match self {
            AwsService::CognitoIdentity => Some("AWSCognitoIdentityService"),
            AwsService::CognitoIdp => Some("AWSCognitoIdentityProviderService"),
            AwsService::S3 | AwsService::CognitoSync | AwsService::Sts | AwsService::Iam | AwsService::Sns => None,
        }
    }

    pub fn of_target_prefix(prefix: &str) -> Option<AwsService> {
        AwsService::ALL.into_iter().find(|service| service.target_prefix() == Some(prefix))
    }

    /// The field `Version` of a form for this service.
    pub fn form_version(self) -> Option<&'static str> {
        match self {
            AwsService::Sts => Some("2011-06-15"),
            AwsService::Iam => Some("2010-05-08"),
            AwsService::Sns => Some("2010-03-31"),
            AwsService::S3 | AwsService::CognitoSync | AwsService::CognitoIdentity | AwsService::CognitoIdp => None,
        }
    }

    pub fn of_form_version(version: &str) -> Option<AwsService> {
        AwsService::ALL.into_iter().find(|service| service.form_version() == Some(version))
    }

    /// The XML namespace of its answers; `None` if they are JSON, or S3's, whose errors have none.
    pub fn namespace(self) -> Option<&'static str> {
        match self {
            AwsService::Sts => Some("https://sts.amazonaws.com/doc/2011-06-15/"),
            AwsService::Iam => Some("https://iam.amazonaws.com/doc/2010-05-08/"),
            AwsService::Sns => Some("http://sns.amazonaws.com/doc/2010-03-31/"),
            AwsService::S3 | AwsService::CognitoSync | AwsService::CognitoIdentity | AwsService::CognitoIdp => None,
        }
    }

    pub fn wire(self) -> AwsWire {
        match self {
            AwsService::S3 => AwsWire::S3,
            AwsService::CognitoSync => AwsWire::RestJson,
            AwsService::CognitoIdentity | AwsService::CognitoIdp => AwsWire::Json,
            AwsService::Sts | AwsService::Iam | AwsService::Sns => AwsWire::Query,
        }
    }

    /// The largest body that a call of this service may have, in bytes; the caller reads no more.
    ///
    /// cognito-sync: 1,024 records of together 1 MiB, each byte as `\u00XX`, and their keys. Cognito's JSON: ten logins with tokens of 50,000
    /// characters. The forms: a policy, or a SAML assertion of 100,000 characters, each byte as `%XX`. S3 streams.
    pub fn max_body_bytes(self) -> Option<usize> {
        match self {
            AwsService::S3 => None,
            AwsService::CognitoSync => Some(8 << 20),
            AwsService::CognitoIdentity | AwsService::CognitoIdp | AwsService::Sts | AwsService::Iam | AwsService::Sns => Some(1 << 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_is_found_by_its_own_names_only() {
        for service in AwsService::ALL {
            assert_eq!(AwsService::of_name(service.name()), Some(service));
            if let Some(prefix) = service.target_prefix() {
                assert_eq!(AwsService::of_target_prefix(prefix), Some(service));
            }
            if let Some(version) = service.form_version() {
                assert_eq!(AwsService::of_form_version(version), Some(service));
            }
            assert_eq!(service.form_version().is_some(), service.namespace().is_some());
            assert_eq!(service.form_version().is_some(), service.wire() == AwsWire::Query);
            assert_eq!(service.target_prefix().is_some(), service.wire() == AwsWire::Json);
        }
        assert_eq!(AwsService::of_name("S3"), None);
        assert_eq!(AwsService::of_target_prefix(""), None);
        assert_eq!(AwsService::of_form_version(""), None);
    }
}
