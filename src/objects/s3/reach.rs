//! What each operation asks about, and the question itself.
//! Source: "Actions, resources, and condition keys for Amazon S3" (Service Authorization Reference).

use http::Extensions;
use s3s::dto::{
    AbortMultipartUploadInput, CompleteMultipartUploadInput, CopyObjectInput, CreateBucketInput, CreateMultipartUploadInput,
    DeleteBucketCorsInput, DeleteBucketInput, DeleteBucketPolicyInput, DeleteObjectInput, GetBucketCorsInput, GetBucketLocationInput,
    GetBucketPolicyInput, GetObjectInput, HeadBucketInput, HeadObjectInput, ListBucketsInput, ListMultipartUploadsInput,
    ListObjectsV2Input, ListPartsInput, PutBucketCorsInput, PutBucketPolicyInput, PutObjectInput, UploadPartCopyInput, UploadPartInput,
};
use s3s::{S3ErrorCode, S3Result};

use super::errors::{error, no_bucket, unavailable};
use super::operations::S3Objects;
use crate::access::policy::{PolicyDocument, PolicyKind};
use crate::access::{
    AccessOperation, AccountId, ArnScope, Caller, NamedPolicy, OperationAsk, OperationPolicy, RequestContext, ResourcePolicy, SignedCaller,
};
use crate::store::Bucket;

/// To read an object as the source of a copy.
pub(super) struct SourceAsk {
    pub bucket: String,
    pub key: String,
}

/// To delete one of several objects.
pub(super) struct DeleteAsk {
    pub bucket: String,
    pub key: String,
}

/// To learn whether an object is there.
pub(super) struct PresenceAsk {
    pub bucket: String,
    pub key: String,
}

/// Rows of the table: the input, the action, and the resource.
macro_rules! asks {
    ($($input:ty: $action:literal on $resource:ident $(with $keys:expr)?;)*) => {
        $(impl AccessOperation for $input {
            const POLICY: OperationPolicy<$input> = OperationPolicy::Asked(OperationAsk {
                action: $action,
                resource: |input, _| asks!(@ $resource input),
                keys: asks!(@ keys $($keys)?),
            });
        })*
    };
    (@ everything $input:ident) => {{ let _ = $input; "*".to_owned() }};
    (@ bucket $input:ident) => { format!("arn:aws:s3:::{}", $input.bucket) };
    (@ object $input:ident) => { format!("arn:aws:s3:::{}/{}", $input.bucket, $input.key) };
    (@ keys $keys:expr) => { $keys };
    (@ keys) => { |_, _| {} };
}

asks! {
    ListBucketsInput: "s3:ListAllMyBuckets" on everything;
    CreateBucketInput: "s3:CreateBucket" on bucket;
    HeadBucketInput: "s3:ListBucket" on bucket;
    DeleteBucketInput: "s3:DeleteBucket" on bucket;
    GetBucketLocationInput: "s3:GetBucketLocation" on bucket;
    GetBucketPolicyInput: "s3:GetBucketPolicy" on bucket;
    PutBucketPolicyInput: "s3:PutBucketPolicy" on bucket;
    DeleteBucketPolicyInput: "s3:DeleteBucketPolicy" on bucket;
    GetBucketCorsInput: "s3:GetBucketCORS" on bucket;
    PutBucketCorsInput: "s3:PutBucketCORS" on bucket;
    DeleteBucketCorsInput: "s3:PutBucketCORS" on bucket;
    ListObjectsV2Input: "s3:ListBucket" on bucket with |input, context| {
        list_keys(context, input.prefix.as_deref(), input.delimiter.as_deref(), input.max_keys);
    };
    PutObjectInput: "s3:PutObject" on object;
    GetObjectInput: "s3:GetObject" on object;
    HeadObjectInput: "s3:GetObject" on object;
    DeleteObjectInput: "s3:DeleteObject" on object;
    CopyObjectInput: "s3:PutObject" on object;
    CreateMultipartUploadInput: "s3:PutObject" on object;
    UploadPartInput: "s3:PutObject" on object;
    UploadPartCopyInput: "s3:PutObject" on object;
    CompleteMultipartUploadInput: "s3:PutObject" on object;
    AbortMultipartUploadInput: "s3:AbortMultipartUpload" on object;
    ListPartsInput: "s3:ListMultipartUploadParts" on object;
    ListMultipartUploadsInput: "s3:ListBucketMultipartUploads" on bucket;
    SourceAsk: "s3:GetObject" on object;
    DeleteAsk: "s3:DeleteObject" on object;
    PresenceAsk: "s3:ListBucket" on bucket with |input, context| context.set("s3:prefix", input.key.as_str());
}

fn list_keys(context: &mut RequestContext, prefix: Option<&str>, delimiter: Option<&str>, max_keys: Option<i32>) {
    context.set("s3:prefix", prefix.unwrap_or_default());
    if let Some(delimiter) = delimiter {
        context.set("s3:delimiter", delimiter);
    }
    if let Some(max_keys) = max_keys {
        context.set("s3:max-keys", max_keys.to_string());
    }
}

/// Who makes a request. It has the caller if its signature was checked.
pub(super) fn caller(extensions: &Extensions) -> SignedCaller {
    extensions.get::<SignedCaller>().cloned().unwrap_or_else(|| SignedCaller::unlimited(Caller::Anonymous))
}

impl S3Objects {
    /// The bucket, if the caller may do this in it.
    pub(super) async fn reach<I: AccessOperation>(&self, extensions: &Extensions, bucket: &str, input: &I) -> S3Result<Bucket> {
        let bucket = self.objects.bucket(bucket).await.map_err(unavailable)?.ok_or_else(no_bucket)?;
        self.reach_in(extensions, &bucket, input).await?;
        Ok(bucket)
    }

    /// Whether the caller may do this in a bucket.
    pub(super) async fn reach_in<I: AccessOperation>(&self, extensions: &Extensions, bucket: &Bucket, input: &I) -> S3Result<()> {
        let document = match &bucket.policy {
            None => None,
            // It was checked when it was stored. If it cannot be read, nobody is let in by it or past it.
            Some(text) => Some(PolicyDocument::parse_stored(PolicyKind::Bucket, text).map_err(|_| denied("Access Denied".to_owned()))?),
        };
        let policy = document.as_ref().map(|document| NamedPolicy { name: bucket.name.as_str(), document });
        let resource = policy.map_or(ResourcePolicy::None, ResourcePolicy::Policy);
        self.ask(extensions, bucket.account.clone(), input, resource).await
    }

    /// Whether the caller may do this in an account.
    pub(super) async fn reach_account<I: AccessOperation>(&self, extensions: &Extensions, input: &I) -> S3Result<AccountId> {
        let account = caller(extensions).caller.account().cloned().ok_or_else(|| denied("Access Denied".to_owned()))?;
        self.ask(extensions, account.clone(), input, ResourcePolicy::None).await?;
        Ok(account)
    }

    async fn ask<I: AccessOperation>(
        &self,
        extensions: &Extensions,
        account: AccountId,
        input: &I,
        resource: ResourcePolicy<'_>,
    ) -> S3Result<()> {
        let (signed, context) = (caller(extensions), extensions.get::<RequestContext>().cloned().unwrap_or_default());
        let scope = ArnScope { region: self.objects.region.clone(), account };
        let checked = self.objects.accounts.check(&signed, input, &scope, context, resource).await.map_err(unavailable)?;
        checked.map_err(|why| match signed.caller {
            Caller::Anonymous => denied("Access Denied".to_owned()),
            _ => denied(quoted(&why.message, &resource_of(input, &scope))),
        })
    }
}

/// What an operation acts on.
fn resource_of<I: AccessOperation>(input: &I, scope: &ArnScope) -> String {
    match I::POLICY {
        OperationPolicy::Asked(ask) => (ask.resource)(input, scope),
        OperationPolicy::NotAsked(_) => String::new(),
    }
}

/// S3 sets the resource in quotes, other than the rest of AWS. Source: "Troubleshoot access denied (403 Forbidden) errors in Amazon S3".
fn quoted(message: &str, resource: &str) -> String {
    message.replacen(&format!(" on resource: {resource} "), &format!(" on resource: \"{resource}\" "), 1)
}

fn denied(message: String) -> s3s::S3Error {
    error(S3ErrorCode::AccessDenied, message)
}
