//! Operations on providers of OpenID Connect tokens.

use super::iam_call::{IamCall, IamResultElements, date, tag_elements};
use crate::access::NewProvider;
use crate::aws::error::AwsError;
use crate::aws::query::xml::XmlElement;

fn texts(iam: &IamCall<'_>, name: &str) -> Result<Vec<String>, AwsError> {
    Ok(iam.members.texts(name)?.into_iter().map(str::to_owned).collect())
}

pub(super) async fn create(iam: &IamCall<'_>) -> IamResultElements {
    let new = NewProvider {
        url: iam.required("Url")?.to_owned(),
        client_ids: texts(iam, "ClientIDList")?,
        thumbprints: texts(iam, "ThumbprintList")?,
        tags: iam.tags()?,
    };
    let arn = iam.done(iam.services.accounts().create_provider(iam.account, new).await)?;
    Ok(Some(vec![XmlElement::text("OpenIDConnectProviderArn", arn)]))
}

pub(super) async fn get(iam: &IamCall<'_>) -> IamResultElements {
    let found = iam.done(iam.services.accounts().provider(iam.account, iam.required("OpenIDConnectProviderArn")?).await)?;
    let mut elements = vec![
        XmlElement::text("Url", found.issuer),
        XmlElement::texts("ClientIDList", found.client_ids),
        XmlElement::texts("ThumbprintList", found.thumbprints),
        date("CreateDate", found.made_ms),
    ];
    elements.extend(tag_elements(&found.tags));
    Ok(Some(elements))
}

pub(super) async fn list(iam: &IamCall<'_>) -> IamResultElements {
    let found = iam.done(iam.services.accounts().providers(iam.account).await)?;
    let arn = |provider: crate::store::OidcProvider| vec![XmlElement::text("Arn", provider.arn(iam.account))];
    Ok(Some(vec![XmlElement::list("OpenIDConnectProviderList", found.into_iter().map(arn))]))
}

pub(super) async fn delete(iam: &IamCall<'_>) -> IamResultElements {
    iam.done(iam.services.accounts().delete_provider(iam.account, iam.required("OpenIDConnectProviderArn")?).await)?;
    Ok(None)
}
