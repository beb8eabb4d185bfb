//! Requests as clients signed them with the clock at noon of 30 November 2026 (boto3 1.44 where the name says nothing else), and the example of
//! AWS's documentation.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::aws::head::AwsRequestHead;
use crate::aws::timestamp;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// A request as it was sent.
struct ClientVector {
    name: &'static str,
    rules: SigningRules,
    method: &'static str,
    target: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
}

impl ClientVector {
    /// Whether the signature is good for this path.
    fn verify(&self, path: &str, now_s: i64) -> Result<SignedRequest, SignatureFault> {
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let head = AwsRequestHead { method: self.method, path, query, headers: &headers };
        let request = SignedRequest::parse(&head, self.rules, now_s)?;
        request.verify(&DerivedKey::derive(SECRET, request.scope()), self.body.as_bytes())?;
        Ok(request)
    }

    fn path(&self) -> &'static str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }
}

#[test]
fn what_clients_sign_is_good() {
    let now_s = timestamp::parse_basic("20261130T120500Z").unwrap();
    for vector in VECTORS {
        let verified = vector.verify(vector.path(), now_s);
        assert!(verified.is_ok(), "{}: {verified:?}", vector.name);
        // Decoding the path first, as two public verifiers do, makes another one of it.
        let decoded = vector.path().replace("%3A", ":");
        assert!(decoded == vector.path() || vector.verify(&decoded, now_s).is_err(), "{}: the decoded path", vector.name);
    }
}

#[test]
fn their_session_tokens_and_scopes_are_read() {
    let now_s = timestamp::parse_basic("20261130T120500Z").unwrap();
    for vector in VECTORS {
        let request = vector.verify(vector.path(), now_s).unwrap();
        let service = vector.name.split(' ').next().unwrap();
        assert_eq!((request.scope().service.as_str(), request.scope().region.as_str()), (service, "local"));
        let token = request.access_key_id().starts_with("ASIA").then_some("FwoGZXIvYXdzEJr//+=/x==");
        assert_eq!(request.session_token(), token, "{}", vector.name);
    }
}

/// IAM User Guide, "Create a signed AWS API request": the example with all its parts.
#[test]
fn the_example_of_the_documentation_is_good() {
    const EXAMPLE: ClientVector = ClientVector {
        name: "iam ListUsers",
        rules: SigningRules::Standard,
        method: "GET",
        target: "/?Action=ListUsers&Version=2010-05-08",
        headers: &[
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", "iam.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, \
                 Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
            ),
        ],
        body: "",
    };
    let request = EXAMPLE.verify("/", 1_440_938_160).unwrap();
    assert_eq!(request.access_key_id(), "AKIDEXAMPLE");
}

const VECTORS: &[ClientVector] = &[
    ClientVector {
        name: "cognito-sync ListRecords",
        rules: SigningRules::Standard,
        method: "GET",
        target: "/identitypools/us-east-1%3A11111111-2222-3333-4444-555555555555/identities/us-east-1%3Aaaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee/datasets/my_list.1%3Aa/records?lastSyncCount=7&maxResults=1024&syncSessionToken=a%2Bb%2Fc%3D%3D",
        headers: &[
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE0000000002/20261130/local/cognito-sync/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=54ed36bec223199b8a8136b8b999f9b58fd883033385193792231cc79b3aff52",
            ),
            ("host", "127.0.0.1:8080"),
            ("x-amz-date", "20261130T120000Z"),
            ("x-amz-security-token", "FwoGZXIvYXdzEJr//+=/x=="),
        ],
        body: "",
    },
    ClientVector {
        name: "cognito-sync UpdateRecords",
        rules: SigningRules::Standard,
        method: "POST",
        target: "/identitypools/us-east-1%3A11111111-2222-3333-4444-555555555555/identities/us-east-1%3Aaaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee/datasets/profile",
        headers: &[
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE0000000002/20261130/local/cognito-sync/aws4_request, SignedHeaders=content-type;host;x-amz-client-context;x-amz-date;x-amz-security-token, Signature=9a5e702a4ffa84fed85446a44d47dc8fc555c714a80abc03574e81160d0ebc4f",
            ),
            ("content-type", "application/json"),
            ("host", "127.0.0.1:8080"),
            ("x-amz-client-context", "two  spaces, a comma"),
            ("x-amz-date", "20261130T120000Z"),
            ("x-amz-security-token", "FwoGZXIvYXdzEJr//+=/x=="),
        ],
        body: r#"{"SyncSessionToken": "t", "RecordPatches": [{"Op": "replace", "Key": "k", "Value": "\u00e9 <&>", "SyncCount": 0}]}"#,
    },
    ClientVector {
        name: "cognito-sync ListIdentityPoolUsage",
        rules: SigningRules::Standard,
        method: "GET",
        target: "/identitypools",
        headers: &[
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE0000000001/20261130/local/cognito-sync/aws4_request, SignedHeaders=host;x-amz-date, Signature=576bae3ee9d1dc6e7757ff822c82a04f117162719dda1cb1db8e0b78eef76828",
            ),
            ("host", "127.0.0.1:8080"),
            ("x-amz-date", "20261130T120000Z"),
        ],
        body: "",
    },
    ClientVector {
        name: "cognito-identity CreateIdentityPool",
        rules: SigningRules::Standard,
        method: "POST",
        target: "/",
        headers: &[
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE0000000001/20261130/local/cognito-identity/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=9f69e351b70a222b6a5cde2e42c02e35eabb392ddc4ab3c67f1b508db309ee62",
            ),
            ("content-type", "application/x-amz-json-1.1"),
            ("host", "127.0.0.1:8080"),
            ("x-amz-date", "20261130T120000Z"),
            ("x-amz-target", "AWSCognitoIdentityService.CreateIdentityPool"),
        ],
        body: r#"{"IdentityPoolName": "p", "AllowUnauthenticatedIdentities": true}"#,
    },
    ClientVector {
        name: "cognito-idp ListUserPools",
        rules: SigningRules::Standard,
        method: "POST",
        target: "/",
        headers: &[
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE0000000002/20261130/local/cognito-idp/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature=7fbc4f3e3cf85cd8deef763907320900209363cbb5bd2ff66156eb0298c6c442",
            ),
            ("content-type", "application/x-amz-json-1.1"),
            ("host", "127.0.0.1:8080"),
            ("x-amz-date", "20261130T120000Z"),
            ("x-amz-security-token", "FwoGZXIvYXdzEJr//+=/x=="),
            ("x-amz-target", "AWSCognitoIdentityProviderService.ListUserPools"),
        ],
        body: r#"{"MaxResults": 60}"#,
    },
    ClientVector {
        name: "sts GetCallerIdentity",
        rules: SigningRules::Standard,
        method: "POST",
        target: "/",
        headers: &[
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE0000000001/20261130/local/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=1f66b98b69ef957604c1c25b34e8c92bc43ff309d2b0f39b156f8aed6d39bf3e",
            ),
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", "127.0.0.1:8080"),
            ("x-amz-date", "20261130T120000Z"),
        ],
        body: "Action=GetCallerIdentity&Version=2011-06-15",
    },
    ClientVector {
        name: "sts AssumeRole",
        rules: SigningRules::Standard,
        method: "POST",
        target: "/",
        headers: &[
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE0000000002/20261130/local/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=d4cb2524846a9b3a0068ab8a6366c0b18577b024751caf8d903144382574779b",
            ),
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", "127.0.0.1:8080"),
            ("x-amz-date", "20261130T120000Z"),
            ("x-amz-security-token", "FwoGZXIvYXdzEJr//+=/x=="),
        ],
        body: "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Flogs&RoleSessionName=a%40b&ExternalId=x%3A%2F%2B+y",
    },
    ClientVector {
        name: "iam CreateUser",
        rules: SigningRules::Standard,
        method: "POST",
        target: "/",
        headers: &[
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE0000000001/20261130/local/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=48fd6907d576e5338ede7b4bfe0a60b579fa1cb8d7628d5907469e2df1b1eb2f",
            ),
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", "127.0.0.1:8080"),
            ("x-amz-date", "20261130T120000Z"),
        ],
        body: "Action=CreateUser&Version=2010-05-08&UserName=u%2B1&Path=%2Fa%2F",
    },
    ClientVector {
        name: "sns CreatePlatformApplication",
        rules: SigningRules::Standard,
        method: "POST",
        target: "/",
        headers: &[
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE0000000001/20261130/local/sns/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=311b477eddd478bb8e93f2383fdf0bd2fcdafbed039213c735c8e53b3ca9530e",
            ),
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", "127.0.0.1:8080"),
            ("x-amz-date", "20261130T120000Z"),
        ],
        body: "Action=CreatePlatformApplication&Version=2010-03-31&Name=n&Platform=APNS&Attributes.entry.1.key=PlatformCredential&Attributes.entry.1.value=-----BEGIN%0A%2B%2F%3D",
    },
    ClientVector {
        name: "s3 GetObject presigned",
        rules: SigningRules::S3,
        method: "GET",
        target: "/app/users/us-east-1%3A1/a%20b%2Bc~%C3%A9//../x?response-content-disposition=attachment%3B%20filename%3D%22a%20b.txt%22&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAEXAMPLE0000000002%2F20261130%2Flocal%2Fs3%2Faws4_request&X-Amz-Date=20261130T120000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Security-Token=FwoGZXIvYXdzEJr%2F%2F%2B%3D%2Fx%3D%3D&X-Amz-Signature=16130e6a00a207bf52be393f1b67bb1625e3f5435dc5b7373c48a0dea312cad6",
        headers: &[("host", "127.0.0.1:8080")],
        body: "",
    },
    ClientVector {
        name: "s3 PutObject presigned",
        rules: SigningRules::S3,
        method: "PUT",
        target: "/app/k%3D1/x?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE0000000001%2F20261130%2Flocal%2Fs3%2Faws4_request&X-Amz-Date=20261130T120000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature=2354faf93db1bacd17175f4b85f05a3c5427c2fd085add8b2d60bc9763599884",
        headers: &[("host", "127.0.0.1:8080")],
        body: "",
    },
    ClientVector {
        name: "sts GetCallerIdentity presigned",
        rules: SigningRules::Standard,
        method: "GET",
        target: "/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAEXAMPLE0000000002%2F20261130%2Flocal%2Fsts%2Faws4_request&X-Amz-Date=20261130T120000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Security-Token=FwoGZXIvYXdzEJr%2F%2F%2B%3D%2Fx%3D%3D&X-Amz-Signature=341135ba2adf05a2d055c79a9d30dbf47b2e5f5bd39c05bc3ed5d92e99c4d520",
        headers: &[("host", "127.0.0.1:8080")],
        body: "",
    },
    ClientVector {
        name: "s3 PutObject",
        rules: SigningRules::S3,
        method: "PUT",
        target: "/app/users/%C3%A9%3D1/a%20%20b",
        headers: &[
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE0000000002/20261130/local/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-meta-note;x-amz-security-token, Signature=d7eae02a48535c9373b16ecfb7095a2fccf79034b75c06ce30689bb1bc1616ac",
            ),
            ("host", "127.0.0.1:8080"),
            ("x-amz-content-sha256", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
            ("x-amz-date", "20261130T120000Z"),
            ("x-amz-meta-note", "annual  report"),
            ("x-amz-security-token", "FwoGZXIvYXdzEJr//+=/x=="),
        ],
        body: "hello",
    },
    ClientVector {
        name: "cognito-sync UpdateRecords, SDK for JavaScript v3",
        rules: SigningRules::Standard,
        method: "POST",
        target: "/identitypools/us-east-1%3A1/identities/us-east-1%3A2/datasets/d",
        headers: &[
            ("amz-sdk-request", "attempt=1; max=3"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE0000000002/20261130/local/cognito-sync/aws4_request, SignedHeaders=amz-sdk-request;content-length;content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-amz-user-agent, Signature=77ba16a7f11ca097f3bb26095321a9d015451d5171a6b268e54df4dbdc29c826",
            ),
            ("content-length", "24"),
            ("content-type", "application/json"),
            ("host", "127.0.0.1:8080"),
            ("x-amz-content-sha256", "833545a526af7c61ea15ff2713daadbdfd31ca765d5500a1369bb3a02bc97f97"),
            ("x-amz-date", "20261130T120000Z"),
            ("x-amz-security-token", "FwoGZXIvYXdzEJr//+=/x=="),
            ("x-amz-user-agent", "aws-sdk-js/3"),
        ],
        body: r#"{"SyncSessionToken":"t"}"#,
    },
    ClientVector {
        name: "s3 GetObject, presigned, SDK for JavaScript v3",
        rules: SigningRules::S3,
        method: "GET",
        target: "/app/a%20b?x-id=GetObject&X-Amz-Security-Token=FwoGZXIvYXdzEJr%2F%2F%2B%3D%2Fx%3D%3D&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAEXAMPLE0000000002%2F20261130%2Flocal%2Fs3%2Faws4_request&X-Amz-Date=20261130T120000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host%3Bx-amz-content-sha256&X-Amz-Signature=8b4c582a2ae5accbbacbeaf7632d56e0f148df6adbc5fbdd4ffb028b61d78bcb",
        headers: &[("host", "127.0.0.1:8080"), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD")],
        body: "",
    },
    ClientVector {
        name: "s3 GetObject, presigned with a plus, aws4fetch",
        rules: SigningRules::S3,
        method: "GET",
        target: "/app/file.txt?response-content-disposition=attachment%3B+filename%3D%22hello+world.txt%22&X-Amz-Expires=3600&X-Amz-Date=20261130T120000Z&X-Amz-Security-Token=FwoGZXIvYXdzEJr%2F%2F%2B%3D%2Fx%3D%3D&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAEXAMPLE0000000002%2F20261130%2Flocal%2Fs3%2Faws4_request&X-Amz-SignedHeaders=host&X-Amz-Signature=2e979eccdb8ce449a58c7b8f169b2e3bb78ebbddf6beed6f570d0ebbb860a971",
        headers: &[("host", "127.0.0.1:8080")],
        body: "",
    },
];
