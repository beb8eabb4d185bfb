//! The operations of IAM, and what each of them asks about: the table without which none is done.
//! Source: "Actions, resources, and condition keys for AWS Identity and Access Management (IAM)" (Service Authorization Reference).

/// What an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IamResource {
    /// `UserName`, or the caller itself.
    User,
    Group,
    Role,
    /// `PolicyArn`, or the policy that is made.
    Policy,
    /// `OpenIDConnectProviderArn`, or the provider that is added.
    Provider,
    /// Nothing in particular: lists.
    Any,
}

macro_rules! iam_operations {
    ($($name:ident => $resource:ident),* $(,)?) => {
        /// An operation of IAM.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::aws) enum IamOperation { $($name),* }

        impl IamOperation {
            #[cfg(test)]
            const ALL: &[IamOperation] = &[$(IamOperation::$name),*];

            /// The operation of a form's `Action`.
            pub(in crate::aws) fn of_action(action: &str) -> Option<IamOperation> {
                match action {
                    $(stringify!($name) => Some(IamOperation::$name),)*
                    _ => None,
                }
            }

            /// The action in policies.
            pub(super) fn action(self) -> &'static str {
                match self { $(IamOperation::$name => concat!("iam:", stringify!($name))),* }
            }

            /// The elements of its answer.
            pub(super) fn elements(self) -> (&'static str, &'static str) {
                match self { $(IamOperation::$name => (concat!(stringify!($name), "Response"), concat!(stringify!($name), "Result"))),* }
            }

            pub(super) fn resource(self) -> IamResource {
                match self { $(IamOperation::$name => IamResource::$resource),* }
            }
        }
    };
}

iam_operations! {
    CreateUser => User, GetUser => User, ListUsers => Any, DeleteUser => User,
    CreateGroup => Group, GetGroup => Group, ListGroups => Any, DeleteGroup => Group,
    AddUserToGroup => Group, RemoveUserFromGroup => Group, ListGroupsForUser => User,
    CreateRole => Role, GetRole => Role, ListRoles => Any, DeleteRole => Role, UpdateAssumeRolePolicy => Role,
    CreatePolicy => Policy, GetPolicy => Policy, ListPolicies => Any, DeletePolicy => Policy, GetPolicyVersion => Policy,
    CreateAccessKey => User, ListAccessKeys => User, UpdateAccessKey => User, DeleteAccessKey => User,
    AttachUserPolicy => User, DetachUserPolicy => User, ListAttachedUserPolicies => User,
    AttachGroupPolicy => Group, DetachGroupPolicy => Group, ListAttachedGroupPolicies => Group,
    AttachRolePolicy => Role, DetachRolePolicy => Role, ListAttachedRolePolicies => Role,
    PutUserPolicy => User, GetUserPolicy => User, ListUserPolicies => User, DeleteUserPolicy => User,
    PutGroupPolicy => Group, GetGroupPolicy => Group, ListGroupPolicies => Group, DeleteGroupPolicy => Group,
    PutRolePolicy => Role, GetRolePolicy => Role, ListRolePolicies => Role, DeleteRolePolicy => Role,
    CreateOpenIDConnectProvider => Provider, GetOpenIDConnectProvider => Provider, ListOpenIDConnectProviders => Any,
    DeleteOpenIDConnectProvider => Provider,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_is_found_by_its_action_and_asks_about_it() {
        for operation in IamOperation::ALL {
            let action = operation.action().strip_prefix("iam:").expect("the service");
            assert_eq!(IamOperation::of_action(action), Some(*operation));
            assert_eq!(operation.elements(), (format!("{action}Response").as_str(), format!("{action}Result").as_str()));
        }
        assert_eq!(IamOperation::of_action("createuser"), None);
        assert_eq!((IamOperation::ListUsers.resource(), IamOperation::DeleteRole.resource()), (IamResource::Any, IamResource::Role));
    }
}
