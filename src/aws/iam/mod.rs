//! AWS Identity and Access Management. Source: "AWS Identity and Access Management API Reference".
//!
//! Each operation asks [`IamCall::check`] about its row of the table before it reads or changes anything.

mod access_keys;
mod groups;
mod iam_call;
mod operation;
mod policies;
mod principal_policies;
mod providers;
mod roles;
mod users;

use super::call::{AwsAnswer, AwsCall};
use super::query::{self, QueryCall};
use super::service::AwsService;
use super::services::AwsServices;
use crate::store::PrincipalKind;
use iam_call::IamCall;
pub(super) use operation::IamOperation;

impl IamOperation {
    /// Does what a caller asks.
    pub(super) async fn answer(self, services: &AwsServices, call: &AwsCall, form: &QueryCall) -> AwsAnswer {
        let iam = IamCall::new(services, call, form, self)?;
        iam.check().await?;
        use PrincipalKind::{Group, Role, User};
        let result = match self {
            IamOperation::CreateUser => users::create(&iam).await,
            IamOperation::GetUser => users::get(&iam).await,
            IamOperation::ListUsers => users::list(&iam).await,
            IamOperation::DeleteUser => users::delete(&iam).await,
            IamOperation::CreateGroup => groups::create(&iam).await,
            IamOperation::GetGroup => groups::get(&iam).await,
            IamOperation::ListGroups => groups::list(&iam).await,
            IamOperation::DeleteGroup => groups::delete(&iam).await,
            IamOperation::AddUserToGroup => groups::add_user(&iam).await,
            IamOperation::RemoveUserFromGroup => groups::remove_user(&iam).await,
            IamOperation::ListGroupsForUser => groups::of_user(&iam).await,
            IamOperation::CreateRole => roles::create(&iam).await,
            IamOperation::GetRole => roles::get(&iam).await,
            IamOperation::ListRoles => roles::list(&iam).await,
            IamOperation::DeleteRole => roles::delete(&iam).await,
            IamOperation::UpdateAssumeRolePolicy => roles::update_trust(&iam).await,
            IamOperation::CreatePolicy => policies::create(&iam).await,
            IamOperation::GetPolicy => policies::get(&iam).await,
            IamOperation::ListPolicies => policies::list(&iam).await,
            IamOperation::DeletePolicy => policies::delete(&iam).await,
            IamOperation::GetPolicyVersion => policies::version(&iam).await,
            IamOperation::CreateAccessKey => access_keys::create(&iam).await,
            IamOperation::ListAccessKeys => access_keys::list(&iam).await,
            IamOperation::UpdateAccessKey => access_keys::update(&iam).await,
            IamOperation::DeleteAccessKey => access_keys::delete(&iam).await,
            IamOperation::AttachUserPolicy => principal_policies::attach(&iam, User).await,
            IamOperation::AttachGroupPolicy => principal_policies::attach(&iam, Group).await,
            IamOperation::AttachRolePolicy => principal_policies::attach(&iam, Role).await,
            IamOperation::DetachUserPolicy => principal_policies::detach(&iam, User).await,
            IamOperation::DetachGroupPolicy => principal_policies::detach(&iam, Group).await,
            IamOperation::DetachRolePolicy => principal_policies::detach(&iam, Role).await,
            IamOperation::ListAttachedUserPolicies => principal_policies::attached(&iam, User).await,
            IamOperation::ListAttachedGroupPolicies => principal_policies::attached(&iam, Group).await,
            IamOperation::ListAttachedRolePolicies => principal_policies::attached(&iam, Role).await,
            IamOperation::PutUserPolicy => principal_policies::put(&iam, User).await,
            IamOperation::PutGroupPolicy => principal_policies::put(&iam, Group).await,
            IamOperation::PutRolePolicy => principal_policies::put(&iam, Role).await,
            IamOperation::GetUserPolicy => principal_policies::get(&iam, User).await,
            IamOperation::GetGroupPolicy => principal_policies::get(&iam, Group).await,
            IamOperation::GetRolePolicy => principal_policies::get(&iam, Role).await,
            IamOperation::ListUserPolicies => principal_policies::list(&iam, User).await,
            IamOperation::ListGroupPolicies => principal_policies::list(&iam, Group).await,
            IamOperation::ListRolePolicies => principal_policies::list(&iam, Role).await,
            IamOperation::DeleteUserPolicy => principal_policies::delete(&iam, User).await,
            IamOperation::DeleteGroupPolicy => principal_policies::delete(&iam, Group).await,
            IamOperation::DeleteRolePolicy => principal_policies::delete(&iam, Role).await,
            IamOperation::CreateOpenIDConnectProvider => providers::create(&iam).await,
            IamOperation::GetOpenIDConnectProvider => providers::get(&iam).await,
            IamOperation::ListOpenIDConnectProviders => providers::list(&iam).await,
            IamOperation::DeleteOpenIDConnectProvider => providers::delete(&iam).await,
        };
        let (response, result_name) = self.elements();
        Ok(query::answer(AwsService::Iam, response, result?.map(|result| (result_name, result)), call.id))
    }
}
