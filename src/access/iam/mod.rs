//! Users, groups, roles, policies and providers of an account: what IAM's operations change.
//!
//! Each change is one transaction over the account's rows. It raises the account's revision, which is what cached policies are known by.
//!
//! Names are unique without regard to case ("IAM and AWS STS quotas": names must be unique within the account, not distinguished by case), so keys have
//! them in lower case.

mod attachments;
mod change;
mod error;
mod groups;
mod names;
mod policies;
mod providers;
mod roles;
mod unique_id;
mod user_keys;
mod users;

pub use attachments::InlineDocument;
pub use error::{IamError, IamResult};
pub use names::{MAX_TAGS, parse_path};
pub use policies::{NewPolicy, PolicyRecord};
pub use providers::NewProvider;
pub use roles::{NewRole, RoleRecord};
pub use user_keys::UserKey;
pub use users::NewUser;

pub(in crate::access) use policies::policy_key;
pub(in crate::access) use roles::{role_key, role_of_id};
pub(in crate::access) use users::user_of_id;

/// Entries of one page of a list at most ("MaxItems": 1 to 1,000), and without a wish.
pub const MOST_ITEMS: usize = 1000;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IamPage<T> {
    pub items: Vec<T>,
    /// After which entry the next page begins; `None`: this is the last one.
    pub marker: Option<String>,
}
