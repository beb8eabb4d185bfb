//! What a request asks to do, and the table row that says it of an operation.

use super::{AccountId, Caller, RequestContext};

/// What a caller asks to do.
#[derive(Clone, Debug)]
pub struct AccessRequest<'a> {
    pub caller: &'a Caller,
    /// Like `s3:GetObject`; compared without regard to case.
    pub action: &'a str,
    /// The resource's ARN, or `*` for an action that knows no resources.
    pub resource: String,
    /// The account that the resource belongs to; `None` for an action without a resource, which concerns the caller's own account.
    pub owner: Option<AccountId>,
    /// The keys of the caller and of the request.
    pub context: RequestContext,
}

/// Where the ARNs of an operation's resources point to.
#[derive(Clone, Debug)]
pub struct ArnScope {
    pub region: String,
    /// The owner of the resource.
    pub account: AccountId,
}

/// What an operation asks about, from its input: one row of the table of operations. An operation that checks several resources, as CopyObject does its
/// source and its target, has several rows.
pub struct OperationAsk<I> {
    pub action: &'static str,
    /// The ARN of the resource. It is made of what was parsed, never of a path that could still be normalised.
    pub resource: fn(&I, &ArnScope) -> String,
    /// Sets the context keys that the operation has beside those of the caller.
    pub keys: fn(&I, &mut RequestContext),
}

/// What is asked before an operation is done.
pub enum OperationPolicy<I> {
    /// Nothing: the reason why everybody who gets so far may do it.
    NotAsked(&'static str),
    Asked(OperationAsk<I>),
}

/// The input of an operation. One without a policy does not compile.
pub trait AccessOperation: Sized {
    const POLICY: OperationPolicy<Self>;
}

impl<I> OperationAsk<I> {
    /// The request for this input. `context` has the keys that every operation has, such as the time and the address; those of the caller are set over
    /// them, and those of the operation last.
    pub fn request<'a>(&self, caller: &'a Caller, input: &I, scope: &ArnScope, mut context: RequestContext) -> AccessRequest<'a> {
        context.extend(caller.context());
        (self.keys)(input, &mut context);
        AccessRequest { caller, action: self.action, resource: (self.resource)(input, scope), owner: Some(scope.account.clone()), context }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::UserIdentity;

    struct ListInput {
        bucket: &'static str,
        prefix: &'static str,
    }

    const LIST: OperationAsk<ListInput> = OperationAsk {
        action: "s3:ListBucket",
        resource: |input, _| format!("arn:aws:s3:::{}", input.bucket),
        keys: |input, context| context.set("s3:prefix", input.prefix),
    };

    #[test]
    fn a_row_makes_the_request_of_an_operation() {
        let account = AccountId::parse("123456789012").expect("digits");
        let user = UserIdentity { account: account.clone(), id: "AIDA1".to_owned(), path: "/".to_owned(), name: "ann".to_owned() };
        let caller = Caller::User(user);
        let scope = ArnScope { region: "local".to_owned(), account: account.clone() };
        let mut common = RequestContext::default();
        common.set("aws:username", "forged");
        common.set("aws:SecureTransport", "true");
        let request = LIST.request(&caller, &ListInput { bucket: "app", prefix: "users/" }, &scope, common);
        assert_eq!((request.action, request.resource.as_str()), ("s3:ListBucket", "arn:aws:s3:::app"));
        assert_eq!(request.owner, Some(account));
        assert_eq!(request.context.variable("s3:prefix"), Some("users/"));
        assert_eq!(request.context.variable("aws:username"), Some("ann"));
        assert_eq!(request.context.variable("aws:securetransport"), Some("true"));
    }
}
