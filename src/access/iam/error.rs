//! Why an operation of IAM was not done, in AWS's codes and words.

use crate::access::policy::PolicyError;
use crate::committer::Unavailable;

/// Why an operation was not done: a code of IAM's model, and AWS's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IamError {
    pub code: &'static str,
    pub message: String,
}

/// What an operation came to; the outer error: the store cannot be used now.
pub type IamResult<T> = Result<Result<T, IamError>, Unavailable>;

impl IamError {
    fn new(code: &'static str, message: impl Into<String>) -> IamError {
        IamError { code, message: message.into() }
    }

    pub(super) fn absent(message: impl Into<String>) -> IamError {
        IamError::new("NoSuchEntity", message)
    }

    pub(super) fn exists(message: impl Into<String>) -> IamError {
        IamError::new("EntityAlreadyExists", message)
    }

    pub(super) fn conflict(what_first: &str) -> IamError {
        IamError::new("DeleteConflict", format!("Cannot delete entity, must {what_first} first."))
    }

    pub(super) fn deleting(message: impl Into<String>) -> IamError {
        IamError::new("DeleteConflict", message)
    }

    pub(super) fn quota(name: &str, most: usize) -> IamError {
        IamError::new("LimitExceeded", format!("Cannot exceed quota for {name}: {most}"))
    }

    pub(super) fn invalid(message: impl Into<String>) -> IamError {
        IamError::new("ValidationError", message)
    }

    pub(super) fn input(message: impl Into<String>) -> IamError {
        IamError::new("InvalidInput", message)
    }

    pub(in crate::access) fn unknown_principal() -> IamError {
        IamError::invalid("a principal is root, user/NAME or role/NAME")
    }

    pub(super) fn no_account() -> IamError {
        IamError::absent("The account cannot be found.")
    }
}

/// There is no group of this name.
pub(super) fn no_group(name: &str) -> IamError {
    IamError::absent(format!("The group with name {name} cannot be found."))
}

impl From<PolicyError> for IamError {
    fn from(error: PolicyError) -> IamError {
        IamError { code: error.code, message: error.message }
    }
}
