//! One call of IAM: its members, its account, and what its caller may do.

use super::operation::{IamOperation, IamResource};
use crate::access::ResourcePolicy;
use crate::access::{AccessRequest, AccountId, Caller, IamError, IamPage, IamResult, MOST_ITEMS, parse_path};
use crate::aws::call::AwsCall;
use crate::aws::error::AwsError;
use crate::aws::percent;
use crate::aws::query::xml::XmlElement;
use crate::aws::query::{FormMembers, QueryCall};
use crate::aws::services::AwsServices;
use crate::aws::timestamp;
use crate::store::IamTag;

/// Entries of a page without a wish ("MaxItems").
const USUAL_ITEMS: i64 = 100;

/// What an operation answers: the elements of its result, if it has one.
pub(super) type IamResultElements = Result<Option<Vec<XmlElement>>, AwsError>;

/// A call of IAM.
pub(super) struct IamCall<'a> {
    pub services: &'a AwsServices,
    pub call: &'a AwsCall,
    pub members: FormMembers<'a>,
    /// The caller's account, whose users and roles the call is about.
    pub account: &'a AccountId,
    operation: IamOperation,
}

impl<'a> IamCall<'a> {
    pub fn new(
        services: &'a AwsServices,
        call: &'a AwsCall,
        form: &'a QueryCall,
        operation: IamOperation,
    ) -> Result<IamCall<'a>, AwsError> {
        let account = call.signed()?.account().ok_or_else(|| AwsError::internal(call.wire))?;
        Ok(IamCall { services, call, members: form.members(), account, operation })
    }

    /// Whether the caller may do the operation.
    pub async fn check(&self) -> Result<(), AwsError> {
        let signed = self.call.signed_caller()?;
        let mut context = self.call.context.clone();
        context.extend(signed.caller.context());
        if let Some(arn) = self.members.text("PolicyArn") {
            context.set("iam:PolicyARN", arn);
        }
        if let Some(arn) = self.members.text("PermissionsBoundary") {
            context.set("iam:PermissionsBoundary", arn);
        }
        let owner = Some(self.account.clone());
        let request =
            AccessRequest { caller: &signed.caller, action: self.operation.action(), resource: self.resource().await?, owner, context };
        let checked = self.services.accounts().check_request(&signed, &request, ResourcePolicy::None).await;
        checked.map_err(|why| self.call.unavailable(why))?.map_err(|denied| AwsError::access_denied(self.call.wire, denied.message))
    }

    /// The ARN of what the operation is about.
    async fn resource(&self) -> Result<String, AwsError> {
        let (accounts, account) = (self.services.accounts(), self.account);
        let new_path = || parse_path(self.members.text("Path")).unwrap_or_else(|_| "/".to_owned());
        let of = |kind: &str, path: String, name: &str| format!("arn:aws:iam::{account}:{kind}{path}{name}");
        Ok(match self.operation.resource() {
            IamResource::Any => "*".to_owned(),
            IamResource::User => match (self.user_name(), self.operation) {
                (None, _) => format!("arn:aws:iam::{account}:root"),
                (Some(name), IamOperation::CreateUser) => of("user", new_path(), name),
                (Some(name), _) => {
                    let found = accounts.user(account, name).await.map_err(|why| self.call.unavailable(why))?;
                    of("user", found.map_or_else(|_| "/".to_owned(), |user| user.path), name)
                }
            },
            IamResource::Group => {
                let name = self.required("GroupName")?;
                let path = match self.operation {
                    IamOperation::CreateGroup => new_path(),
                    _ => {
                        let found = accounts.group(account, name, None, 1).await.map_err(|why| self.call.unavailable(why))?;
                        found.map_or_else(|_| "/".to_owned(), |(group, _)| group.path)
                    }
                };
                of("group", path, name)
            }
            IamResource::Role => {
                let name = self.required("RoleName")?;
                let path = match self.operation {
                    IamOperation::CreateRole => new_path(),
                    _ => {
                        let found = accounts.role(account, name).await.map_err(|why| self.call.unavailable(why))?;
                        found.map_or_else(|_| "/".to_owned(), |found| found.role.path)
                    }
                };
                of("role", path, name)
            }
            IamResource::Policy => match self.operation {
                IamOperation::CreatePolicy => of("policy", new_path(), self.required("PolicyName")?),
                _ => self.required("PolicyArn")?.to_owned(),
            },
            IamResource::Provider => match self.operation {
                IamOperation::CreateOpenIDConnectProvider => {
                    let url = self.required("Url")?;
                    of("oidc-provider", "/".to_owned(), url.split_once("://").map_or(url, |(_, rest)| rest))
                }
                _ => self.required("OpenIDConnectProviderArn")?.to_owned(),
            },
        })
    }

    /// The user that the call names, or that signed it; `None`: the account's root.
    pub fn user_name(&self) -> Option<&str> {
        self.members.text("UserName").or(match &self.call.caller {
            Caller::User(user) => Some(user.name.as_str()),
            _ => None,
        })
    }

    pub fn required(&self, name: &str) -> Result<&'a str, AwsError> {
        Ok(self.members.required(name)?)
    }

    pub fn text(&self, name: &str) -> Option<String> {
        self.members.text(name).map(str::to_owned)
    }

    pub fn tags(&self) -> Result<Vec<IamTag>, AwsError> {
        let tag = |member: FormMembers<'_>| {
            Ok(IamTag { key: member.required("Key")?.to_owned(), value: member.text("Value").unwrap_or_default().to_owned() })
        };
        self.members.list("Tags")?.into_iter().map(tag).collect()
    }

    /// The prefix, the marker and the number of entries of a list.
    pub fn page(&self) -> Result<(String, Option<String>, usize), AwsError> {
        let most = self.members.number("MaxItems")?.unwrap_or(USUAL_ITEMS);
        let most = usize::try_from(most).ok().filter(|most| (1..=MOST_ITEMS).contains(most));
        let most = most.ok_or_else(|| {
            AwsError::new(self.call.wire, "ValidationError", format!("The parameter MaxItems must be between 1 and {MOST_ITEMS}"))
        })?;
        Ok((self.text("PathPrefix").unwrap_or_else(|| "/".to_owned()), self.text("Marker"), most))
    }

    /// What an operation of the account came to.
    pub fn done<T>(&self, result: IamResult<T>) -> Result<T, AwsError> {
        let refused = |IamError { code, message }| AwsError::new(self.call.wire, code, message);
        result.map_err(|why| self.call.unavailable(why))?.map_err(refused)
    }
}

/// A list with its paging.
pub(super) fn listed<T>(name: &'static str, page: IamPage<T>, element: impl Fn(T) -> Vec<XmlElement>) -> Vec<XmlElement> {
    let IamPage { items, marker } = page;
    let mut result =
        vec![XmlElement::list(name, items.into_iter().map(element)), XmlElement::text("IsTruncated", marker.is_some().to_string())];
    result.extend(marker.map(|marker| XmlElement::text("Marker", marker)));
    result
}

/// All of a short list.
pub(super) fn whole<T>(items: Vec<T>) -> IamPage<T> {
    IamPage { items, marker: None }
}

/// A date.
pub(super) fn date(name: &'static str, ms: u64) -> XmlElement {
    XmlElement::text(name, timestamp::extended(i64::try_from(ms / 1000).unwrap_or(i64::MAX)))
}

/// A policy: "URL-encoded compliant with RFC 3986".
pub(super) fn document(name: &'static str, text: &str) -> XmlElement {
    XmlElement::text(name, percent::encode(text.as_bytes()))
}

pub(super) fn tag_elements(tags: &[IamTag]) -> Option<XmlElement> {
    let element = |tag: &IamTag| vec![XmlElement::text("Key", &tag.key), XmlElement::text("Value", &tag.value)];
    (!tags.is_empty()).then(|| XmlElement::list("Tags", tags.iter().map(element)))
}

pub(super) fn boundary_element(boundary: Option<&String>) -> Option<XmlElement> {
    let parts = |arn: &String| {
        vec![XmlElement::text("PermissionsBoundaryType", "PermissionsBoundaryPolicy"), XmlElement::text("PermissionsBoundaryArn", arn)]
    };
    boundary.map(|arn| XmlElement::parent("PermissionsBoundary", parts(arn)))
}
