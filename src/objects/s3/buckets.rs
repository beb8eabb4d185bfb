//! Buckets: create, head, list, delete, where they are.

use s3s::dto::{
    Bucket, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput, GetBucketLocationInput,
    GetBucketLocationOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput, ListBucketsOutput, Owner,
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result};

use super::conditions::timestamp;
use super::errors::{error, no_bucket, unavailable};
use super::operations::S3Objects;
use crate::store::{BucketDeletion, MadeBucket};

impl S3Objects {
    pub(super) async fn make_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        let input = &request.input;
        let account = self.reach_account(&request.extensions, input).await?;
        match self.objects.make_bucket(&input.bucket, &account).await.map_err(unavailable)? {
            MadeBucket::Made => {
                let location = Some(format!("/{}", input.bucket));
                Ok(S3Response::new(CreateBucketOutput { location }))
            }
            MadeBucket::Owned => Err(error(
                S3ErrorCode::BucketAlreadyOwnedByYou,
                "Your previous request to create the named bucket succeeded and you already own it.",
            )),
            MadeBucket::Taken => Err(error(
                S3ErrorCode::BucketAlreadyExists,
                "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a \
                 different name and try again.",
            )),
            MadeBucket::TooMany => Err(error(S3ErrorCode::TooManyBuckets, "You have attempted to create more buckets than allowed")),
        }
    }

    pub(super) async fn head_of_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.reach(&request.extensions, &request.input.bucket, &request.input).await?;
        let bucket_region = Some(self.objects.region.clone());
        Ok(S3Response::new(HeadBucketOutput { bucket_region, ..HeadBucketOutput::default() }))
    }

    pub(super) async fn bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.reach(&request.extensions, &request.input.bucket, &request.input).await?;
        let location_constraint = Some(BucketLocationConstraint::from(self.objects.region.clone()));
        Ok(S3Response::new(GetBucketLocationOutput { location_constraint }))
    }

    pub(super) async fn all_buckets(&self, request: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let account = self.reach_account(&request.extensions, &request.input).await?;
        let of = account.clone();
        let mut found = self.objects.read(move |store| store.buckets(&of)).await.map_err(unavailable)?;
        found.sort_unstable();
        let prefix = request.input.prefix.clone().unwrap_or_default();
        let after = request.input.continuation_token.clone().unwrap_or_default();
        let most = request.input.max_buckets.and_then(|most| usize::try_from(most).ok()).filter(|most| *most > 0).unwrap_or(usize::MAX);
        let mut left = found.into_iter().filter(|(name, _)| name.starts_with(&prefix) && *name > after);
        let buckets: Vec<Bucket> = left
            .by_ref()
            .take(most)
            .map(|(name, made_ms)| Bucket { name: Some(name), creation_date: Some(timestamp(made_ms)), bucket_region: None })
            .collect();
        let more = left.next().is_some();
        let continuation_token = buckets.last().and_then(|last| last.name.clone()).filter(|_| more);
        let owner = Some(Owner { display_name: None, id: Some(account.to_string()) });
        Ok(S3Response::new(ListBucketsOutput { buckets: Some(buckets), continuation_token, owner, prefix: request.input.prefix.clone() }))
    }

    pub(super) async fn drop_bucket(&self, request: S3Request<DeleteBucketInput>) -> S3Result<S3Response<DeleteBucketOutput>> {
        self.reach(&request.extensions, &request.input.bucket, &request.input).await?;
        let name = request.input.bucket.clone();
        let decide = move |group: &mut crate::store::Group<'_>| group.delete_bucket(&name);
        match self.objects.change(Vec::new(), decide).await.map_err(unavailable)? {
            BucketDeletion::Deleted => Ok(S3Response::new(DeleteBucketOutput::default())),
            BucketDeletion::NoBucket => Err(no_bucket()),
            BucketDeletion::NotEmpty => Err(error(S3ErrorCode::BucketNotEmpty, "The bucket you tried to delete is not empty")),
        }
    }
}
