//! Users, groups, roles and policies over AWS's wire, and the credentials of roles: within an account and across two.

use crate::support::aws::{AwsClient, element};
use crate::support::{DeviceHttpResponse, TestServer};

const OWN: &str = "123456789012";
const OTHER: &str = "210987654321";

fn policy(action: &str, resource: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}]}}"#)
}

fn trust(principal: &str, condition: &str) -> String {
    let statement = format!(r#""Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"sts:AssumeRole""#);
    format!(r#"{{"Version":"2012-10-17","Statement":[{{{statement}{condition}}}]}}"#)
}

fn outcome(answer: &DeviceHttpResponse) -> String {
    if answer.status == 200 { "200".to_owned() } else { format!("{} {}", answer.status, element(answer, "Code")) }
}

async fn done(client: &AwsClient, action: &str, fields: &[(&str, &str)]) -> DeviceHttpResponse {
    let answer = client.form(action, fields).await;
    assert_eq!(answer.status, 200, "{action}: {}", answer.body);
    answer
}

async fn account(server: &TestServer, id: &str) -> AwsClient {
    AwsClient::of_new_account(server.address(), &server.operator(), id).await.of("iam")
}

/// A user with a key.
async fn user(root: &AwsClient, name: &str) -> AwsClient {
    done(root, "CreateUser", &[("UserName", name)]).await;
    let key = done(root, "CreateAccessKey", &[("UserName", name)]).await;
    root.with(element(&key, "AccessKeyId"), element(&key, "SecretAccessKey"), None)
}

fn session(client: &AwsClient, answer: &DeviceHttpResponse) -> AwsClient {
    client.with(element(answer, "AccessKeyId"), element(answer, "SecretAccessKey"), Some(element(answer, "SessionToken")))
}

const ROLE: &str = "arn:aws:iam::210987654321:role/ops/logs-reader";

/// Account A has the user ann in the group readers, which may assume B's role; bob is in no group.
struct CrossAccount {
    server: TestServer,
    a: AwsClient,
    b: AwsClient,
    ann: AwsClient,
    bob: AwsClient,
}

impl CrossAccount {
    async fn new() -> CrossAccount {
        let server = TestServer::start().await;
        let (a, b) = (account(&server, OWN).await, account(&server, OTHER).await);
        let (ann, bob) = (user(&a, "ann").await, user(&a, "bob").await);
        let of_a = trust(&format!("arn:aws:iam::{OWN}:root"), "");
        done(&b, "CreateRole", &[("RoleName", "logs-reader"), ("Path", "/ops/"), ("AssumeRolePolicyDocument", &of_a)]).await;
        let arn = done(&b, "CreatePolicy", &[("PolicyName", "read"), ("PolicyDocument", &policy("iam:GetRole", "*"))]).await;
        done(&b, "AttachRolePolicy", &[("RoleName", "logs-reader"), ("PolicyArn", element(&arn, "Arn"))]).await;
        done(&a, "CreateGroup", &[("GroupName", "readers")]).await;
        done(&a, "AddUserToGroup", &[("GroupName", "readers"), ("UserName", "ann")]).await;
        let assume = policy("sts:AssumeRole", ROLE);
        done(&a, "PutGroupPolicy", &[("GroupName", "readers"), ("PolicyName", "assume"), ("PolicyDocument", &assume)]).await;
        CrossAccount { server, a, b, ann, bob }
    }

    async fn assume(&self, who: &AwsClient, more: &[(&str, &str)]) -> DeviceHttpResponse {
        let fields = [&[("RoleArn", ROLE), ("RoleSessionName", "s1")], more].concat();
        who.of("sts").form("AssumeRole", &fields).await
    }
}

#[tokio::test]
async fn a_user_gets_into_another_account_through_its_group_and_a_role() {
    let mut story = CrossAccount::new().await;
    let get = [("RoleName", "logs-reader")];
    assert_eq!(outcome(&story.ann.form("GetRole", &get).await), "403 AccessDenied", "in its own account it may not");
    assert_eq!(outcome(&story.assume(&story.bob, &[]).await), "403 AccessDenied", "it is in no group");
    assert_eq!(outcome(&story.assume(&story.a, &[]).await), "403 AccessDenied", "roots assume no roles");
    let assumed = story.assume(&story.ann, &[]).await;
    assert_eq!(element(&assumed, "Arn"), format!("arn:aws:sts::{OTHER}:assumed-role/logs-reader/s1"));
    let mut inside = session(&story.ann, &assumed);
    let found = done(&inside, "GetRole", &get).await;
    assert_eq!(element(&found, "Arn"), ROLE);
    let refused = inside.form("ListUsers", &[]).await;
    assert_eq!(outcome(&refused), "403 AccessDenied");
    let words = format!("User: arn:aws:sts::{OTHER}:assumed-role/logs-reader/s1 is not authorized to perform: iam:ListUsers");
    assert!(element(&refused, "Message").starts_with(&words), "{}", refused.body);
    // A session is told from another by its token, and a token belongs to its key.
    let second = session(&story.ann, &story.assume(&story.ann, &[]).await);
    assert_ne!(second.key, inside.key);
    let mixed = AwsClient { token: second.token.clone(), ..inside.clone() };
    assert_eq!(outcome(&mixed.form("GetRole", &get).await), "403 InvalidClientTokenId");
    assert_eq!(outcome(&AwsClient { token: None, ..inside.clone() }.form("GetRole", &get).await), "403 InvalidClientTokenId");
    assert_eq!(outcome(&AwsClient { token: second.token, ..story.ann.clone() }.form("GetUser", &[]).await), "403 InvalidClientTokenId");
    // What was given works after a restart, and ends with the role: a new one of the name is another role.
    story.server.restart().await;
    for client in [&mut inside, &mut story.a, &mut story.b, &mut story.ann] {
        client.address = story.server.address();
    }
    assert_eq!(outcome(&inside.form("GetRole", &get).await), "200");
    let policy_arn = format!("arn:aws:iam::{OTHER}:policy/read");
    done(&story.b, "DetachRolePolicy", &[("RoleName", "logs-reader"), ("PolicyArn", &policy_arn)]).await;
    assert_eq!(outcome(&inside.form("GetRole", &get).await), "403 AccessDenied", "at once");
    done(&story.b, "DeleteRole", &get).await;
    assert_eq!(outcome(&inside.form("GetRole", &get).await), "403 InvalidClientTokenId");
    let again = trust(&format!("arn:aws:iam::{OWN}:root"), "");
    done(&story.b, "CreateRole", &[("RoleName", "logs-reader"), ("Path", "/ops/"), ("AssumeRolePolicyDocument", &again)]).await;
    assert_eq!(outcome(&inside.form("GetRole", &get).await), "403 InvalidClientTokenId");
}

#[tokio::test]
async fn both_sides_must_allow_and_a_change_counts_at_once() {
    let story = CrossAccount::new().await;
    let to = |principal: &str, condition: &str| trust(principal, condition);
    let set = async |document: String| {
        done(&story.b, "UpdateAssumeRolePolicy", &[("RoleName", "logs-reader"), ("PolicyDocument", &document)]).await;
    };
    assert_eq!(outcome(&story.assume(&story.ann, &[]).await), "200");
    set(to(&format!("arn:aws:iam::{OTHER}:root"), "")).await;
    assert_eq!(outcome(&story.assume(&story.ann, &[]).await), "403 AccessDenied", "the role trusts its own account only");
    set(to(&format!("arn:aws:iam::{OWN}:root"), r#","Condition":{"StringEquals":{"sts:ExternalId":"blue"}}"#)).await;
    for (id, expected) in [(None, "403 AccessDenied"), (Some("red"), "403 AccessDenied"), (Some("blue"), "200")] {
        let fields: Vec<(&str, &str)> = id.map(|id| ("ExternalId", id)).into_iter().collect();
        assert_eq!(outcome(&story.assume(&story.ann, &fields).await), expected, "{id:?}");
    }
    // A principal that was deleted and made anew is another one.
    set(to(&format!("arn:aws:iam::{OWN}:user/ann"), "")).await;
    assert_eq!(outcome(&story.assume(&story.ann, &[]).await), "200");
    let shown = done(&story.b, "GetRole", &[("RoleName", "logs-reader")]).await;
    assert!(element(&shown, "AssumeRolePolicyDocument").contains("user%2Fann"), "{}", shown.body);
    let refused = story.a.form("DeleteUser", &[("UserName", "ann")]).await;
    assert_eq!(outcome(&refused), "409 DeleteConflict");
    let key = done(&story.a, "ListAccessKeys", &[("UserName", "ann")]).await;
    done(&story.a, "DeleteAccessKey", &[("UserName", "ann"), ("AccessKeyId", element(&key, "AccessKeyId"))]).await;
    assert_eq!(outcome(&story.ann.form("GetUser", &[]).await), "403 InvalidClientTokenId");
    done(&story.a, "RemoveUserFromGroup", &[("GroupName", "readers"), ("UserName", "ann")]).await;
    done(&story.a, "DeleteUser", &[("UserName", "ann")]).await;
    let ann = user(&story.a, "ann").await;
    done(&story.a, "AddUserToGroup", &[("GroupName", "readers"), ("UserName", "ann")]).await;
    assert_eq!(outcome(&story.assume(&ann, &[]).await), "403 AccessDenied", "the trust names the first ann");
    let unknown = to(&format!("arn:aws:iam::{OWN}:user/nobody"), "");
    let refused = story.b.form("UpdateAssumeRolePolicy", &[("RoleName", "logs-reader"), ("PolicyDocument", &unknown)]).await;
    assert_eq!(outcome(&refused), "400 MalformedPolicyDocument");
    assert!(element(&refused, "Message").contains("Invalid principal in policy"), "{}", refused.body);
}

#[tokio::test]
async fn a_session_is_limited_by_its_policy_its_chain_and_its_time() {
    let story = CrossAccount::new().await;
    let narrow = policy("iam:ListRoles", "*");
    let narrowed = session(&story.ann, &story.assume(&story.ann, &[("Policy", &narrow)]).await);
    assert_eq!(outcome(&narrowed.form("GetRole", &[("RoleName", "logs-reader")]).await), "403 AccessDenied");
    let nothing_more = narrowed.form("ListRoles", &[]).await;
    assert_eq!(outcome(&nothing_more), "403 AccessDenied", "a session's policy gives no right");
    for (fields, expected) in [
        (vec![("DurationSeconds", "899")], "400 ValidationError"),
        (vec![("DurationSeconds", "3601")], "400 ValidationError"),
        (vec![("DurationSeconds", "1e3")], "400 ValidationError"),
        (vec![("Policy", "{")], "400 MalformedPolicyDocument"),
        (vec![("DurationSeconds", "900")], "200"),
    ] {
        assert_eq!(outcome(&story.assume(&story.ann, &fields).await), expected, "{fields:?}");
    }
    // A chained session has an hour at most.
    let inside = session(&story.ann, &story.assume(&story.ann, &[]).await);
    let own = trust(ROLE, "");
    done(&story.b, "CreateRole", &[("RoleName", "second"), ("AssumeRolePolicyDocument", &own), ("MaxSessionDuration", "43200")]).await;
    let second = format!("arn:aws:iam::{OTHER}:role/second");
    let allow = policy("sts:AssumeRole", &second);
    done(&story.b, "PutRolePolicy", &[("RoleName", "logs-reader"), ("PolicyName", "chain"), ("PolicyDocument", &allow)]).await;
    let chain = |seconds: &'static str| {
        let (inside, second) = (inside.of("sts"), second.clone());
        async move { inside.form("AssumeRole", &[("RoleArn", &second), ("RoleSessionName", "s2"), ("DurationSeconds", seconds)]).await }
    };
    assert_eq!(outcome(&chain("3601").await), "400 ValidationError");
    let chained = session(&inside, &chain("3600").await);
    let who = done(&chained.of("sts"), "GetCallerIdentity", &[]).await;
    assert_eq!(element(&who, "Arn"), format!("arn:aws:sts::{OTHER}:assumed-role/second/s2"));
    let info = done(&story.ann.of("sts"), "GetAccessKeyInfo", &[("AccessKeyId", &chained.key)]).await;
    assert_eq!(element(&info, "Account"), OTHER);
    assert_eq!(outcome(&chained.of("sts").form("GetSessionToken", &[]).await), "403 AccessDenied");
    let own = session(&story.ann, &done(&story.ann.of("sts"), "GetSessionToken", &[]).await);
    assert_eq!(element(&done(&own.of("sts"), "GetCallerIdentity", &[]).await, "Arn"), format!("arn:aws:iam::{OWN}:user/ann"));
}

#[tokio::test]
async fn every_list_and_policy_of_iam_reads_back_what_was_written() {
    let server = TestServer::start().await;
    let root = account(&server, OWN).await;
    for name in ["a", "bb", "ccc"] {
        done(&root, "CreateUser", &[("UserName", name), ("Path", "/team/")]).await;
    }
    let first = done(&root, "ListUsers", &[("MaxItems", "2"), ("PathPrefix", "/team/")]).await;
    assert_eq!((element(&first, "IsTruncated"), element(&first, "Marker")), ("true", "bb"));
    let rest = done(&root, "ListUsers", &[("Marker", "bb")]).await;
    assert_eq!((element(&rest, "IsTruncated"), element(&rest, "UserName")), ("false", "ccc"));
    assert_eq!(outcome(&root.form("CreateUser", &[("UserName", "BB")]).await), "409 EntityAlreadyExists", "names differ by more than case");
    let text = policy("s3:GetObject", "arn:aws:s3:::b/*");
    let made = done(&root, "CreatePolicy", &[("PolicyName", "p"), ("PolicyDocument", &text), ("Description", "d")]).await;
    let arn = element(&made, "Arn").to_owned();
    let version = done(&root, "GetPolicyVersion", &[("PolicyArn", &arn), ("VersionId", "v1")]).await;
    assert!(element(&version, "Document").starts_with("%7B%22Version%22"), "{}", version.body);
    done(&root, "CreateGroup", &[("GroupName", "g")]).await;
    done(&root, "CreateRole", &[("RoleName", "r"), ("AssumeRolePolicyDocument", &trust(OWN, ""))]).await;
    for (kind, member, name) in [("User", "UserName", "a"), ("Group", "GroupName", "g"), ("Role", "RoleName", "r")] {
        done(&root, &format!("Attach{kind}Policy"), &[(member, name), ("PolicyArn", &arn)]).await;
        let attached = done(&root, &format!("ListAttached{kind}Policies"), &[(member, name)]).await;
        assert_eq!((element(&attached, "PolicyArn"), element(&attached, "PolicyName")), (arn.as_str(), "p"));
        done(&root, &format!("Put{kind}Policy"), &[(member, name), ("PolicyName", "own"), ("PolicyDocument", &text)]).await;
        let own = done(&root, &format!("Get{kind}Policy"), &[(member, name), ("PolicyName", "own")]).await;
        assert!(own.body.contains("s3%3AGetObject") && element(&own, member) == name, "{}", own.body);
        assert!(done(&root, &format!("List{kind}Policies"), &[(member, name)]).await.body.contains("<member>own</member>"));
        assert_eq!(outcome(&root.form(&format!("Delete{kind}"), &[(member, name)]).await), "409 DeleteConflict");
        assert_eq!(outcome(&root.form("DeletePolicy", &[("PolicyArn", &arn)]).await), "409 DeleteConflict");
        done(&root, &format!("Delete{kind}Policy"), &[(member, name), ("PolicyName", "own")]).await;
        assert_eq!(outcome(&root.form(&format!("Get{kind}Policy"), &[(member, name), ("PolicyName", "own")]).await), "404 NoSuchEntity");
        done(&root, &format!("Detach{kind}Policy"), &[(member, name), ("PolicyArn", &arn)]).await;
        done(&root, &format!("Delete{kind}"), &[(member, name)]).await;
        assert_eq!(outcome(&root.form(&format!("Get{kind}"), &[(member, name)]).await), "404 NoSuchEntity");
    }
    done(&root, "DeletePolicy", &[("PolicyArn", &arn)]).await;
    assert_eq!(outcome(&root.form("GetPolicy", &[("PolicyArn", &arn)]).await), "404 NoSuchEntity");
    let url = [("Url", "https://idp.example"), ("ClientIDList.member.1", "app"), ("ThumbprintList.member.1", &"a".repeat(40))];
    let provider = done(&root, "CreateOpenIDConnectProvider", &url).await;
    let provider = element(&provider, "OpenIDConnectProviderArn").to_owned();
    assert_eq!(provider, format!("arn:aws:iam::{OWN}:oidc-provider/idp.example"));
    assert_eq!(outcome(&root.form("CreateOpenIDConnectProvider", &url).await), "409 EntityAlreadyExists");
    let found = done(&root, "GetOpenIDConnectProvider", &[("OpenIDConnectProviderArn", &provider)]).await;
    assert!(found.body.contains("<member>app</member>") && element(&found, "Url") == "idp.example", "{}", found.body);
    assert!(done(&root, "ListOpenIDConnectProviders", &[]).await.body.contains(&provider));
    done(&root, "DeleteOpenIDConnectProvider", &[("OpenIDConnectProviderArn", &provider)]).await;
    assert_eq!(outcome(&root.form("GetOpenIDConnectProvider", &[("OpenIDConnectProviderArn", &provider)]).await), "404 NoSuchEntity");
}
