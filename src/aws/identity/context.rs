//! A call of an operation, with what it answers.

use serde::Serialize;

use crate::aws::call::{AwsAnswer, AwsCall};
use crate::aws::error::AwsError;
use crate::aws::json;
use crate::aws::service::AwsService;
use crate::aws::services::AwsServices;

/// A call and its body.
pub(super) struct IdentityContext<'a> {
    pub services: &'a AwsServices,
    pub call: &'a AwsCall,
    pub body: &'a [u8],
}

impl IdentityContext<'_> {
    pub fn input<T: serde::de::DeserializeOwned>(&self) -> Result<T, AwsError> {
        json::read_body(AwsService::CognitoIdentity, self.body)
    }

    pub fn output<T: Serialize>(&self, value: &T) -> AwsAnswer {
        json::answer(self.call.wire, value, self.call.id)
    }

    pub fn error(&self, code: &'static str, message: impl Into<String>) -> AwsError {
        AwsError::new(self.call.wire, code, message)
    }

    pub fn invalid(&self, message: impl Into<String>) -> AwsError {
        self.error("InvalidParameterException", message)
    }
}
