//! The policy of a bucket, and its rules for pages of other origins.

use s3s::dto::{
    CORSRule, DeleteBucketCorsInput, DeleteBucketCorsOutput, DeleteBucketPolicyInput, DeleteBucketPolicyOutput, GetBucketCorsInput,
    GetBucketCorsOutput, GetBucketPolicyInput, GetBucketPolicyOutput, PutBucketCorsInput, PutBucketCorsOutput, PutBucketPolicyInput,
    PutBucketPolicyOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::errors::{error, invalid, no_bucket, unavailable};
use super::operations::S3Objects;
use crate::access::policy::{PolicyDocument, PolicyKind};
use crate::store::CorsRule;

/// Rules of a bucket. Source: PutBucketCors (Amazon S3 API Reference).
const MOST_RULES: usize = 100;

/// Bytes of all texts of the rules, as the body of PutBucketCors has at most ("CORS configuration", 64 KB), and so that they fit a row.
const RULES_BYTES: usize = 32 << 10;

/// The methods that a rule may allow.
const METHODS: [&str; 5] = ["GET", "PUT", "HEAD", "POST", "DELETE"];

impl S3Objects {
    pub(super) async fn set_policy(&self, request: S3Request<PutBucketPolicyInput>) -> S3Result<S3Response<PutBucketPolicyOutput>> {
        let input = &request.input;
        self.reach(&request.extensions, &input.bucket, input).await?;
        let document = PolicyDocument::parse(PolicyKind::Bucket, &input.policy).map_err(|why| of_policy(why.code, why.message))?;
        if !document.names_only_bucket(&input.bucket) {
            return Err(error(S3ErrorCode::MalformedPolicy, "Policy has invalid resource"));
        }
        let resolved = self.objects.accounts.resolved_policy(PolicyKind::Bucket, &input.policy).await.map_err(unavailable)?;
        let resolved = resolved.map_err(|why| of_policy(why.code, why.message))?;
        self.store_policy(&input.bucket, Some(resolved)).await?;
        Ok(S3Response::new(PutBucketPolicyOutput {}))
    }

    pub(super) async fn policy(&self, request: S3Request<GetBucketPolicyInput>) -> S3Result<S3Response<GetBucketPolicyOutput>> {
        let bucket = self.reach(&request.extensions, &request.input.bucket, &request.input).await?;
        let Some(stored) = bucket.policy else {
            return Err(error(S3ErrorCode::NoSuchBucketPolicy, "The bucket policy does not exist"));
        };
        let shown = self.objects.accounts.shown_policy(PolicyKind::Bucket, &stored).await.map_err(unavailable)?;
        Ok(S3Response::new(GetBucketPolicyOutput { policy: Some(shown.map_err(|why| of_policy(why.code, why.message))?) }))
    }

    pub(super) async fn drop_policy(&self, request: S3Request<DeleteBucketPolicyInput>) -> S3Result<S3Response<DeleteBucketPolicyOutput>> {
        self.reach(&request.extensions, &request.input.bucket, &request.input).await?;
        self.store_policy(&request.input.bucket, None).await?;
        Ok(S3Response::new(DeleteBucketPolicyOutput {}))
    }

    async fn store_policy(&self, bucket: &str, policy: Option<String>) -> S3Result<()> {
        let bucket = bucket.to_owned();
        let decide = move |group: &mut crate::store::Group<'_>| group.set_bucket_policy(&bucket, policy.clone());
        let is_there = self.objects.change(Vec::new(), decide).await.map_err(unavailable)?;
        is_there.then_some(()).ok_or_else(no_bucket)
    }

    pub(super) async fn set_cors(&self, request: S3Request<PutBucketCorsInput>) -> S3Result<S3Response<PutBucketCorsOutput>> {
        let input = &request.input;
        self.reach(&request.extensions, &input.bucket, input).await?;
        let rules = checked_rules(&input.cors_configuration.cors_rules)?;
        self.store_cors(&input.bucket, rules).await?;
        Ok(S3Response::new(PutBucketCorsOutput {}))
    }

    pub(super) async fn cors(&self, request: S3Request<GetBucketCorsInput>) -> S3Result<S3Response<GetBucketCorsOutput>> {
        let bucket = self.reach(&request.extensions, &request.input.bucket, &request.input).await?;
        if bucket.cors.is_empty() {
            return Err(error(S3ErrorCode::NoSuchCORSConfiguration, "The CORS configuration does not exist"));
        }
        Ok(S3Response::new(GetBucketCorsOutput { cors_rules: Some(bucket.cors.into_iter().map(shown_rule).collect()) }))
    }

    pub(super) async fn drop_cors(&self, request: S3Request<DeleteBucketCorsInput>) -> S3Result<S3Response<DeleteBucketCorsOutput>> {
        self.reach(&request.extensions, &request.input.bucket, &request.input).await?;
        self.store_cors(&request.input.bucket, Vec::new()).await?;
        Ok(S3Response::new(DeleteBucketCorsOutput {}))
    }

    async fn store_cors(&self, bucket: &str, rules: Vec<CorsRule>) -> S3Result<()> {
        let bucket = bucket.to_owned();
        let decide = move |group: &mut crate::store::Group<'_>| group.set_bucket_cors(&bucket, &rules);
        let is_there = self.objects.change(Vec::new(), decide).await.map_err(unavailable)?;
        is_there.then_some(()).ok_or_else(no_bucket)
    }
}

fn of_policy(code: &'static str, message: String) -> S3Error {
    let code = if code == "PolicyTooLarge" { S3ErrorCode::InvalidRequest } else { S3ErrorCode::MalformedPolicy };
    error(code, message)
}

fn checked_rules(rules: &[CORSRule]) -> S3Result<Vec<CorsRule>> {
    if rules.is_empty() || rules.len() > MOST_RULES {
        return Err(error(
            S3ErrorCode::MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema",
        ));
    }
    let mut bytes = 0;
    let mut checked = Vec::new();
    for rule in rules {
        let CORSRule { allowed_headers, allowed_methods, allowed_origins, expose_headers, id, max_age_seconds } = rule.clone();
        if allowed_methods.is_empty() || allowed_methods.iter().any(|method| !METHODS.contains(&method.as_str())) {
            return Err(error(S3ErrorCode::InvalidRequest, "Found unsupported HTTP method in CORS config."));
        }
        let (allowed_headers, expose_headers) = (allowed_headers.unwrap_or_default(), expose_headers.unwrap_or_default());
        if allowed_origins.is_empty() || allowed_origins.iter().chain(&allowed_headers).any(|text| text.matches('*').count() > 1) {
            return Err(error(S3ErrorCode::InvalidRequest, "AllowedOrigin and AllowedHeader can not have more than one wildcard."));
        }
        let texts = allowed_origins.iter().chain(&allowed_headers).chain(&expose_headers).chain(&allowed_methods).chain(&id);
        bytes += texts.map(String::len).sum::<usize>();
        let max_age_s = max_age_seconds.map(u32::try_from).transpose().map_err(|_| invalid("MaxAgeSeconds must not be negative"))?;
        checked.push(CorsRule { id, allowed_origins, allowed_methods, allowed_headers, expose_headers, max_age_s });
    }
    match bytes {
        0..=RULES_BYTES => Ok(checked),
        _ => Err(error(S3ErrorCode::MaxMessageLengthExceeded, "The CORS configuration is too large")),
    }
}

fn shown_rule(rule: CorsRule) -> CORSRule {
    let CorsRule { id, allowed_origins, allowed_methods, allowed_headers, expose_headers, max_age_s } = rule;
    let some = |texts: Vec<String>| Some(texts).filter(|texts| !texts.is_empty());
    let max_age_seconds = max_age_s.and_then(|s| i32::try_from(s).ok());
    CORSRule {
        allowed_headers: some(allowed_headers),
        allowed_methods,
        allowed_origins,
        expose_headers: some(expose_headers),
        id,
        max_age_seconds,
    }
}
