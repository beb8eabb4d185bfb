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
pub(in crate::access) mod names;
mod page;
mod policies;
mod providers;
mod roles;
mod unique_id;
mod user_keys;
mod users;

pub use attachments::InlineDocument;
pub use error::{IamError, IamResult};
pub use names::{MAX_TAGS, parse_path};
pub use page::{IamPage, MOST_ITEMS};
pub use policies::{NewPolicy, PolicyRecord};
pub use providers::NewProvider;
pub use roles::{NewRole, RoleRecord};
pub use user_keys::UserKey;
pub use users::NewUser;

pub(in crate::access) use roles::role_of_id;
pub(in crate::access) use users::user_of_id;
