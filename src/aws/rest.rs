//! The paths of cognito-sync (Amazon Cognito Sync API Reference; the `http` traits of its model).

use super::error::AwsError;
use super::head::AwsRequestHead;
use super::parameters::{ParameterFault, Parameters};
use super::percent::{self, PlusSign};
use super::service::AwsWire;

/// The longest value of a path is a device id of 256 characters; a dataset's name has 128.
const MAX_LABEL_BYTES: usize = 256;

/// The longest path: `/identitypools/{}/identities/{}/datasets/{}/subscriptions/{}`.
const MAX_SEGMENTS: usize = 8;

/// ListRecords has four parameters, and a presigned request eight more.
const MAX_PARAMETERS: usize = 64;

/// An operation of cognito-sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyncOperation {
    BulkPublish,
    DeleteDataset,
    DescribeDataset,
    DescribeIdentityPoolUsage,
    DescribeIdentityUsage,
    GetBulkPublishDetails,
    GetCognitoEvents,
    GetIdentityPoolConfiguration,
    ListDatasets,
    ListIdentityPoolUsage,
    ListRecords,
    RegisterDevice,
    SetCognitoEvents,
    SetIdentityPoolConfiguration,
    SubscribeToDataset,
    UnsubscribeFromDataset,
    UpdateRecords,
}

/// Method and path of each operation. RegisterDevice has `identity` where the others have `identities`.
pub const TEMPLATES: [(SyncOperation, &str, &str); 17] = [
    (SyncOperation::BulkPublish, "POST", "/identitypools/{P}/bulkpublish"),
    (SyncOperation::DeleteDataset, "DELETE", "/identitypools/{P}/identities/{I}/datasets/{N}"),
    (SyncOperation::DescribeDataset, "GET", "/identitypools/{P}/identities/{I}/datasets/{N}"),
    (SyncOperation::DescribeIdentityPoolUsage, "GET", "/identitypools/{P}"),
    (SyncOperation::DescribeIdentityUsage, "GET", "/identitypools/{P}/identities/{I}"),
    (SyncOperation::GetBulkPublishDetails, "POST", "/identitypools/{P}/getBulkPublishDetails"),
    (SyncOperation::GetCognitoEvents, "GET", "/identitypools/{P}/events"),
    (SyncOperation::GetIdentityPoolConfiguration, "GET", "/identitypools/{P}/configuration"),
    (SyncOperation::ListDatasets, "GET", "/identitypools/{P}/identities/{I}/datasets"),
    (SyncOperation::ListIdentityPoolUsage, "GET", "/identitypools"),
    (SyncOperation::ListRecords, "GET", "/identitypools/{P}/identities/{I}/datasets/{N}/records"),
    (SyncOperation::RegisterDevice, "POST", "/identitypools/{P}/identity/{I}/device"),
    (SyncOperation::SetCognitoEvents, "POST", "/identitypools/{P}/events"),
    (SyncOperation::SetIdentityPoolConfiguration, "POST", "/identitypools/{P}/configuration"),
    (SyncOperation::SubscribeToDataset, "POST", "/identitypools/{P}/identities/{I}/datasets/{N}/subscriptions/{V}"),
    (SyncOperation::UnsubscribeFromDataset, "DELETE", "/identitypools/{P}/identities/{I}/datasets/{N}/subscriptions/{V}"),
    (SyncOperation::UpdateRecords, "POST", "/identitypools/{P}/identities/{I}/datasets/{N}"),
];

/// A call of cognito-sync, with the values of its path, each decoded once. What a path does not have is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncCall {
    pub operation: SyncOperation,
    /// `{P}`
    pub identity_pool_id: String,
    /// `{I}`
    pub identity_id: String,
    /// `{N}`
    pub dataset_name: String,
    /// `{V}`
    pub device_id: String,
    query: Parameters,
}

impl SyncCall {
    /// Finds the operation of a method and path.
    ///
    /// A path with an empty segment, `.` or `..` is none of any operation: a signature covers the path without them, so a request for one path
    /// could be sent again for another one.
    pub fn read(head: &AwsRequestHead) -> Result<SyncCall, AwsError> {
        let unknown = || AwsError::unknown_operation(AwsWire::RestJson, &format!("{} {}", head.method, head.path), None);
        let path = head.path.strip_prefix('/').ok_or_else(unknown)?;
        let segments: Vec<&str> = path.splitn(MAX_SEGMENTS + 1, '/').collect();
        if segments.len() > MAX_SEGMENTS || segments.iter().any(|segment| ["", ".", ".."].contains(segment)) {
            return Err(unknown());
        }
        let query = Parameters::parse(head.query.as_bytes(), MAX_PARAMETERS).map_err(unread_query)?;
        let mut call = SyncCall {
            operation: SyncOperation::ListIdentityPoolUsage,
            identity_pool_id: String::new(),
            identity_id: String::new(),
            dataset_name: String::new(),
            device_id: String::new(),
            query,
        };
        let found = TEMPLATES.iter().find(|(_, method, template)| *method == head.method && matches(template, &segments));
        let (operation, _, template) = found.ok_or_else(unknown)?;
        call.operation = *operation;
        for (part, segment) in template[1..].split('/').zip(&segments) {
            match part {
                "{P}" => call.identity_pool_id = label(segment)?,
                "{I}" => call.identity_id = label(segment)?,
                "{N}" => call.dataset_name = label(segment)?,
                "{V}" => call.device_id = label(segment)?,
                _ => {}
            }
        }
        Ok(call)
    }

    /// A parameter of the query, as `lastSyncCount`.
    pub fn parameter(&self, name: &str) -> Result<Option<&str>, AwsError> {
        self.query.single(name).map_err(unread_query)
    }
}

fn matches(template: &str, segments: &[&str]) -> bool {
    let parts = template[1..].split('/');
    parts.clone().count() == segments.len() && parts.zip(segments).all(|(part, segment)| part.starts_with('{') || part == *segment)
}

fn label(segment: &str) -> Result<String, AwsError> {
    let invalid = |why: &str| AwsError::new(AwsWire::RestJson, "InvalidParameterException", format!("A value of the path {why}"));
    if segment.len() > 3 * MAX_LABEL_BYTES {
        return Err(invalid("is too long"));
    }
    let bytes = percent::decode(segment.as_bytes(), PlusSign::Plus).map_err(|_| invalid("has a broken percent-encoding"))?;
    let text = String::from_utf8(bytes).map_err(|_| invalid("is not UTF-8"))?;
    if text.len() > MAX_LABEL_BYTES {
        return Err(invalid("is too long"));
    }
    Ok(text)
}

fn unread_query(fault: ParameterFault) -> AwsError {
    AwsError::new(AwsWire::RestJson, "InvalidParameterException", format!("The query string cannot be read: {}", fault.text()))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn read(method: &str, target: &str) -> Result<SyncCall, AwsError> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        SyncCall::read(&AwsRequestHead { method, path, query, headers: &HeaderMap::new() })
    }

    #[test]
    fn every_operation_is_found_by_its_own_method_and_path_only() {
        for (operation, method, template) in TEMPLATES {
            let path = template
                .replace("{P}", "us-east-1%3Aaa")
                .replace("{I}", "us-east-1%3abb")
                .replace("{N}", "my_list.1")
                .replace("{V}", "d%2Fd");
            let call = read(method, &path).unwrap();
            assert_eq!(call.operation, operation);
            let has = |name: &str, value: &'static str| if template.contains(name) { value } else { "" };
            assert_eq!(call.identity_pool_id, has("{P}", "us-east-1:aa"));
            assert_eq!(call.identity_id, has("{I}", "us-east-1:bb"));
            assert_eq!(call.dataset_name, has("{N}", "my_list.1"));
            assert_eq!(call.device_id, has("{V}", "d/d"));
            for wrong in [format!("{path}/"), format!("/{path}"), path.replacen("identitypools", "identitypools/", 1), format!("{path}/.")]
            {
                let error = read(method, &wrong).unwrap_err();
                assert_eq!((error.code(), error.status().as_u16()), ("UnknownOperationException", 404), "{wrong}");
            }
            assert!(read("PUT", &path).is_err());
        }
    }

    #[test]
    fn values_are_decoded_once_and_bounded() {
        assert_eq!(read("GET", "/identitypools/a%253Ab+c").unwrap().identity_pool_id, "a%3Ab+c");
        assert_eq!(read("GET", "/identitypools/%2E%2E").unwrap().identity_pool_id, "..");
        for (target, words) in [
            ("/identitypools/%zz".to_owned(), "broken percent-encoding"),
            ("/identitypools/%FF".to_owned(), "not UTF-8"),
            (format!("/identitypools/{}", "a".repeat(257)), "too long"),
            (format!("/identitypools/{}", "%41".repeat(1 << 20)), "too long"),
            ("/identitypools?a=%".to_owned(), "percent-encoding is broken"),
            (format!("/identitypools?{}", "a=b&".repeat(10_000)), "too many"),
        ] {
            let error = read("GET", &target).unwrap_err();
            assert_eq!((error.code(), error.status().as_u16()), ("InvalidParameterException", 400));
            assert!(error.message().contains(words), "{}", error.message());
        }
        assert!(read("GET", &format!("/identitypools{}", "/a".repeat(1 << 20))).is_err());
    }

    #[test]
    fn parameters_are_read_once() {
        let call =
            read("GET", "/identitypools/p/identities/i/datasets/n/records?lastSyncCount=7&maxResults=1024&nextToken=a%3D&x=1&x=2").unwrap();
        assert_eq!(call.parameter("lastSyncCount").unwrap(), Some("7"));
        assert_eq!(call.parameter("nextToken").unwrap(), Some("a="));
        assert_eq!(call.parameter("syncSessionToken").unwrap(), None);
        assert_eq!(call.parameter("x").unwrap_err().code(), "InvalidParameterException");
    }
}
