//! S3's wire: the trait of the library s3s on [`Objects`](super::Objects). The library reads requests, checks signatures of heads and chunks, and
//! writes answers.

mod authenticate;
mod bucket_rules;
mod buckets;
mod conditions;
mod copy;
mod cors;
mod delete;
mod endpoint;
mod errors;
mod get;
mod list;
mod multipart;
mod operations;
mod parts;
mod put;
mod reach;
mod receive;
mod sub_resource;

pub use authenticate::OnAuthenticated;
pub use cors::preflight_headers;
pub use endpoint::S3Endpoint;
