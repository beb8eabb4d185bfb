//! Identity pools over AWS's wire: guests and people with logins, their identities, and credentials of the pool's roles.

use serde_json::{Value, json};

use crate::support::aws::{AwsClient, element};
use crate::support::{DeviceHttp, DeviceHttpResponse, TestPool, TestServer, token};

const ACCOUNT: &str = "123456789012";

/// A pool with a role for guests and one for those who have signed in; each may list roles, or users.
struct Federated {
    server: TestServer,
    root: AwsClient,
    pool: String,
}

fn called(name: &str) -> String {
    format!("AWSCognitoIdentityService.{name}")
}

fn outcome(answer: &DeviceHttpResponse) -> String {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    match answer.status {
        200 => "200".to_owned(),
        status => format!("{status} {}", body["__type"].as_str().unwrap_or_default()),
    }
}

#[track_caller]
fn parsed(answer: &DeviceHttpResponse) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap_or_default()
}

fn trust(pool: &str, amr: &str) -> String {
    json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity", "Principal": { "Federated": "cognito-identity.amazonaws.com" },
        "Condition": {
            "StringEquals": { "cognito-identity.amazonaws.com:aud": pool },
            "ForAnyValue:StringLike": { "cognito-identity.amazonaws.com:amr": amr },
        },
    }] })
    .to_string()
}

impl Federated {
    /// A pool by its id; the declared one if it is `None`.
    async fn new() -> Federated {
        let server = TestServer::with_pool(TestPool { pool: "guests = true", ..TestPool::default() }).await;
        let root = AwsClient::of_new_account(server.address(), &server.operator(), ACCOUNT).await.of("iam");
        let pools = parsed(&root.of("cognito-identity").json(&called("ListIdentityPools"), &json!({ "MaxResults": 60 })).await);
        let pool = pools["IdentityPools"][0]["IdentityPoolId"].as_str().unwrap_or_default().to_owned();
        let federated = Federated { server, root, pool };
        for (role, amr, action) in [("guest", "unauthenticated", "iam:ListRoles"), ("member", "authenticated", "iam:ListUsers")] {
            let trust = trust(&federated.pool, amr);
            let allow = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": action, "Resource": "*" }] });
            for (operation, fields) in [
                ("CreateRole", vec![("RoleName", role), ("AssumeRolePolicyDocument", trust.as_str())]),
                ("PutRolePolicy", vec![("RoleName", role), ("PolicyName", "p"), ("PolicyDocument", &allow.to_string())]),
            ] {
                assert_eq!(federated.root.form(operation, &fields).await.status, 200);
            }
        }
        let roles = json!({
            "unauthenticated": format!("arn:aws:iam::{ACCOUNT}:role/guest"), "authenticated": format!("arn:aws:iam::{ACCOUNT}:role/member"),
        });
        let set = federated.signed("SetIdentityPoolRoles", &json!({ "IdentityPoolId": federated.pool, "Roles": roles })).await;
        assert_eq!(set.status, 200, "{}", set.body);
        federated
    }

    async fn signed(&self, operation: &str, body: &Value) -> DeviceHttpResponse {
        self.root.of("cognito-identity").json(&called(operation), body).await
    }

    async fn get_id(&self, logins: Value) -> DeviceHttpResponse {
        self.root.unsigned_json(&called("GetId"), &json!({ "IdentityPoolId": self.pool, "Logins": logins })).await
    }

    async fn id(&self, logins: Value) -> String {
        parsed(&self.get_id(logins).await)["IdentityId"].as_str().unwrap_or_default().to_owned()
    }

    async fn credentials(&self, identity: &str, logins: Value) -> DeviceHttpResponse {
        self.root.unsigned_json(&called("GetCredentialsForIdentity"), &json!({ "IdentityId": identity, "Logins": logins })).await
    }

    #[track_caller]
    fn client(&self, answer: &DeviceHttpResponse) -> AwsClient {
        let given = parsed(answer);
        let text = |name: &str| given["Credentials"][name].as_str().unwrap_or_default();
        self.root.with(text("AccessKeyId"), text("SecretKey"), Some(text("SessionToken")))
    }
}

#[tokio::test]
async fn a_guest_signs_in_and_keeps_the_identity() {
    let federated = Federated::new().await;
    let guest = federated.id(json!({})).await;
    assert_ne!(federated.id(json!({})).await, guest, "each guest has an identity of its own");
    let as_guest = federated.client(&federated.credentials(&guest, json!({})).await);
    assert_eq!(element(&as_guest.of("sts").form("GetCallerIdentity", &[]).await, "Account"), ACCOUNT);
    assert_eq!((as_guest.form("ListRoles", &[]).await.status, as_guest.form("ListUsers", &[]).await.status), (200, 403));
    let alice = json!({ "issuer.test": token("alice") });
    let signed_in = federated.credentials(&guest, alice.clone()).await;
    assert_eq!(parsed(&signed_in)["IdentityId"], json!(guest));
    let member = federated.client(&signed_in);
    assert_eq!((member.form("ListRoles", &[]).await.status, member.form("ListUsers", &[]).await.status), (403, 200));
    // Who knows the id only is let in no more.
    assert_eq!(outcome(&federated.credentials(&guest, json!({})).await), "400 NotAuthorizedException");
    assert_eq!(federated.id(alice).await, guest);
    let described = parsed(&federated.signed("DescribeIdentity", &json!({ "IdentityId": guest })).await);
    assert_eq!(described["Logins"].as_array().map(Vec::len), Some(1), "{described}");
    // A device of the same person is at the same identity.
    let device = DeviceHttp::new(federated.server.address(), &token("alice"), "phone");
    assert_eq!(device.get("/v1/datasets").await.status, 200);
    let found = federated.server.operator().get("/logins?pool=demo&subject=alice").await;
    assert!(found.text().contains(&guest), "{}", found.text());
}

#[tokio::test]
async fn a_token_has_the_rules_of_who_made_it_whatever_name_it_is_sent_under() {
    let federated = Federated::new().await;
    let member = format!("arn:aws:iam::{ACCOUNT}:role/member");
    let rule = json!({ "Claim": "sub", "MatchType": "Equals", "Value": "alice", "RoleARN": format!("arn:aws:iam::{ACCOUNT}:role/guest") });
    let mapping = json!({ "Type": "Rules", "AmbiguousRoleResolution": "Deny", "RulesConfiguration": { "Rules": [rule] } });
    let set =
        json!({ "IdentityPoolId": federated.pool, "Roles": { "authenticated": member }, "RoleMappings": { "admin.example": mapping } });
    assert_eq!(federated.signed("SetIdentityPoolRoles", &set).await.status, 200);
    let alice = json!({ "admin.example": token("alice") });
    let identity = federated.id(alice.clone()).await;
    let client = federated.client(&federated.credentials(&identity, alice).await);
    assert_eq!(client.form("ListUsers", &[]).await.status, 200, "the role for everybody who has signed in");
}

#[tokio::test]
async fn a_guest_with_a_login_of_another_identity_is_merged_into_it_and_told_so() {
    let federated = Federated::new().await;
    let (alice, bob) = (json!({ "p": token("alice") }), json!({ "p": token("bob") }));
    let own = federated.id(alice.clone()).await;
    let guest = federated.id(json!({})).await;
    let merged = federated.credentials(&guest, alice.clone()).await;
    assert_eq!(parsed(&merged)["IdentityId"], json!(own));
    assert_eq!(parsed(&federated.credentials(&guest, alice.clone()).await)["IdentityId"], json!(own), "also the next time");
    assert_eq!(outcome(&federated.credentials(&guest, json!({})).await), "400 ResourceNotFoundException");
    // An identity with logins needs one of them: nobody else's token gets there, and it links nothing.
    let of_bob = federated.id(bob.clone()).await;
    assert_ne!(of_bob, own);
    for _ in 0..2 {
        assert_eq!(outcome(&federated.credentials(&own, bob.clone()).await), "400 NotAuthorizedException");
    }
    assert_eq!(federated.id(bob).await, of_bob);
    // Of two tokens one is bad: nothing is done.
    let mixed = json!({ "p": token("carol"), "q": format!("{}x", token("alice")) });
    assert_eq!(outcome(&federated.get_id(mixed).await), "400 NotAuthorizedException");
    // Two that are good lead to one identity from then on.
    let both = json!({ "p": token("alice"), "q": token("dora") });
    assert_eq!(federated.id(both.clone()).await, own);
    assert_eq!(federated.id(json!({ "p": token("dora") })).await, own);
    // Two identities with logins stay two.
    let two = json!({ "p": token("alice"), "q": token("bob") });
    assert_eq!(outcome(&federated.get_id(two.clone()).await), "400 ResourceConflictException");
    assert_eq!(outcome(&federated.credentials(&own, two).await), "400 ResourceConflictException");
    assert_eq!((federated.id(alice.clone()).await, federated.id(json!({ "p": token("bob") })).await), (own.clone(), of_bob));
    // It is undone by who proves both.
    let undo = json!({ "IdentityId": own, "Logins": both, "LoginsToRemove": ["q"] });
    assert_eq!(federated.root.unsigned_json(&called("UnlinkIdentity"), &undo).await.status, 200);
    assert_ne!(federated.id(json!({ "p": token("dora") })).await, own);
    assert_eq!(federated.id(alice).await, own);
}

#[tokio::test]
async fn a_pool_that_was_made_admits_its_guests_until_it_is_deleted() {
    let mut federated = Federated::new().await;
    let bare = json!({ "IdentityPoolName": "mine", "AllowUnauthenticatedIdentities": true });
    let made = parsed(&federated.signed("CreateIdentityPool", &bare).await);
    let id = made["IdentityPoolId"].as_str().unwrap_or_default().to_owned();
    let declared = std::mem::replace(&mut federated.pool, id.clone());
    let guest = federated.id(json!({})).await;
    assert_eq!(
        outcome(&federated.credentials(&guest, json!({})).await),
        "400 InvalidIdentityPoolConfigurationException",
        "it has no roles"
    );
    // A role that trusts another pool is of no use here.
    let roles = json!({ "unauthenticated": format!("arn:aws:iam::{ACCOUNT}:role/guest") });
    assert_eq!(federated.signed("SetIdentityPoolRoles", &json!({ "IdentityPoolId": id, "Roles": roles })).await.status, 200);
    assert_eq!(outcome(&federated.credentials(&guest, json!({})).await), "400 InvalidIdentityPoolConfigurationException");
    let trust = trust(&id, "unauthenticated");
    assert_eq!(federated.root.form("UpdateAssumeRolePolicy", &[("RoleName", "guest"), ("PolicyDocument", &trust)]).await.status, 200);
    assert_eq!(outcome(&federated.credentials(&guest, json!({})).await), "200");
    federated.server.restart().await;
    federated.root.address = federated.server.address();
    assert_eq!(outcome(&federated.credentials(&guest, json!({})).await), "200");
    let closed = json!({ "IdentityPoolId": id, "IdentityPoolName": "mine", "AllowUnauthenticatedIdentities": false });
    assert_eq!(parsed(&federated.signed("UpdateIdentityPool", &closed).await)["AllowUnauthenticatedIdentities"], json!(false));
    assert_eq!(outcome(&federated.get_id(json!({})).await), "400 NotAuthorizedException");
    assert_eq!(outcome(&federated.credentials(&guest, json!({})).await), "400 NotAuthorizedException");
    // What the configuration says is not changed over the wire.
    let refused = json!({ "IdentityPoolId": declared, "IdentityPoolName": "x", "AllowUnauthenticatedIdentities": false });
    assert_eq!(outcome(&federated.signed("UpdateIdentityPool", &refused).await), "400 InvalidParameterException");
    assert_eq!(
        outcome(&federated.signed("DeleteIdentityPool", &json!({ "IdentityPoolId": declared })).await),
        "400 NotAuthorizedException"
    );
    assert_eq!(federated.signed("DeleteIdentityPool", &json!({ "IdentityPoolId": id })).await.status, 200);
    assert_eq!(outcome(&federated.signed("DescribeIdentityPool", &json!({ "IdentityPoolId": id })).await), "400 ResourceNotFoundException");
    assert_eq!(outcome(&federated.get_id(json!({})).await), "400 ResourceNotFoundException");
}

#[tokio::test]
async fn only_the_pools_account_may_look_at_it() {
    let federated = Federated::new().await;
    let other = AwsClient::of_new_account(federated.server.address(), &federated.server.operator(), "210987654321").await;
    let outsider = other.of("cognito-identity");
    let pool = json!({ "IdentityPoolId": federated.pool });
    for operation in ["DescribeIdentityPool", "GetIdentityPoolRoles", "DeleteIdentityPool"] {
        assert_eq!(outcome(&outsider.json(&called(operation), &pool).await), "400 AccessDeniedException", "{operation}");
        let unsigned = outsider.unsigned_json(&called(operation), &pool).await;
        assert_eq!(outcome(&unsigned), "400 MissingAuthenticationTokenException", "{operation}");
    }
    let guest = federated.id(json!({})).await;
    assert_eq!(outcome(&outsider.json(&called("DescribeIdentity"), &json!({ "IdentityId": guest })).await), "400 AccessDeniedException");
    assert_eq!(parsed(&outsider.json(&called("ListIdentityPools"), &json!({ "MaxResults": 1 })).await)["IdentityPools"], json!([]));
    // A guest's credentials reach nothing that its role does not allow.
    let as_guest = federated.client(&federated.credentials(&guest, json!({})).await).of("cognito-identity");
    assert_eq!(outcome(&as_guest.json(&called("DescribeIdentityPool"), &pool).await), "400 AccessDeniedException");
    assert_eq!(outcome(&as_guest.json(&called("NoSuchThing"), &pool).await), "400 UnknownOperationException");
}

#[tokio::test]
async fn a_token_of_an_identity_takes_a_role_that_trusts_the_pool() {
    let federated = Federated::new().await;
    let guest = federated.id(json!({})).await;
    let token = federated.root.unsigned_json(&called("GetOpenIdToken"), &json!({ "IdentityId": guest })).await;
    let token = parsed(&token)["Token"].as_str().unwrap_or_default().to_owned();
    let assume = async |token: &str, role: &str| {
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{role}");
        let fields = [("RoleArn", arn.as_str()), ("RoleSessionName", "app"), ("WebIdentityToken", token)];
        federated.root.of("sts").form("AssumeRoleWithWebIdentity", &fields).await
    };
    let assumed = assume(&token, "guest").await;
    assert_eq!((assumed.status, element(&assumed, "Provider")), (200, "cognito-identity.amazonaws.com"), "{}", assumed.body);
    assert_eq!(
        (element(&assumed, "SubjectFromWebIdentityToken"), element(&assumed, "Audience")),
        (guest.as_str(), federated.pool.as_str())
    );
    let client = federated.root.with(
        element(&assumed, "AccessKeyId"),
        element(&assumed, "SecretAccessKey"),
        Some(element(&assumed, "SessionToken")),
    );
    assert_eq!((client.form("ListRoles", &[]).await.status, client.form("ListUsers", &[]).await.status), (200, 403));
    let refused = assume(&token, "member").await;
    assert_eq!((refused.status, element(&refused, "Code")), (403, "AccessDenied"), "the role is for those who have signed in");
    let altered = assume(&format!("{}A{}", &token[..40], &token[41..]), "guest").await;
    assert_eq!((altered.status, element(&altered, "Code")), (400, "InvalidIdentityToken"));
    // A pool that was made gives none unless it says so.
    let made = json!({ "IdentityPoolName": "mine", "AllowUnauthenticatedIdentities": true });
    let made = parsed(&federated.signed("CreateIdentityPool", &made).await);
    let other = federated.root.unsigned_json(&called("GetId"), &json!({ "IdentityPoolId": made["IdentityPoolId"] })).await;
    let ask = json!({ "IdentityId": parsed(&other)["IdentityId"] });
    assert_eq!(outcome(&federated.root.unsigned_json(&called("GetOpenIdToken"), &ask).await), "400 InvalidParameterException");
}
