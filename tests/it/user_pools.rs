//! User pools over AWS's wire: from sign-up to the end of the sign-in.

use serde_json::{Value, json};

use crate::support::aws::{AwsClient, json_call};
use crate::support::{DeviceHttpResponse, TestServer, raw_request, wait_for};

struct TestUserPool {
    server: TestServer,
    root: AwsClient,
    id: String,
    client: String,
}

impl TestUserPool {
    async fn start() -> TestUserPool {
        let server = TestServer::start().await;
        let root = AwsClient::of_new_account(server.address(), &server.operator(), "123456789012").await;
        let root = AwsClient { service: "cognito-idp", ..root };
        let mut pool = TestUserPool { server, root, id: String::new(), client: String::new() };
        let made = pool
            .admin("CreateUserPool", json!({ "PoolName": "app", "AutoVerifiedAttributes": ["email"], "AliasAttributes": ["email"] }))
            .await;
        pool.id = made["UserPool"]["Id"].as_str().unwrap().to_owned();
        let flows = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_USER_SRP_AUTH", "ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"];
        let new = json!({
            "UserPoolId": pool.id, "ClientName": "web", "ExplicitAuthFlows": flows, "PreventUserExistenceErrors": "ENABLED",
        });
        pool.client = pool.admin("CreateUserPoolClient", new).await["UserPoolClient"]["ClientId"].as_str().unwrap().to_owned();
        pool
    }

    async fn call(&self, signer: Option<&AwsClient>, operation: &str, body: Value) -> (u16, Value) {
        json_call(signer, self.server.address(), &format!("AWSCognitoIdentityProviderService.{operation}"), &body).await
    }

    async fn admin(&self, operation: &str, body: Value) -> Value {
        let (status, answer) = self.call(Some(&self.root), operation, body).await;
        assert_eq!(status, 200, "{operation}: {answer}");
        answer
    }

    /// What an app asks, without a signature.
    async fn app(&self, operation: &str, mut body: Value) -> Result<Value, String> {
        if !body.as_object().unwrap().contains_key("AccessToken") {
            body["ClientId"] = json!(self.client);
        }
        let (status, answer) = self.call(None, operation, body).await;
        match status {
            200 => Ok(answer),
            _ => Err(answer["__type"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()),
        }
    }

    async fn sign_in(&self, name: &str, password: &str) -> Result<Value, String> {
        let body = json!({ "AuthFlow": "USER_PASSWORD_AUTH", "AuthParameters": { "USERNAME": name, "PASSWORD": password } });
        self.app("InitiateAuth", body).await.map(|answer| answer["AuthenticationResult"].clone())
    }

    /// The last word of the message with this number, from 0.
    async fn code(&self, number: usize) -> String {
        let folder = self.server.folder().join("store").join("outbox");
        let messages = || {
            let entries = std::fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path());
            let mut found: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "txt")).collect();
            found.sort();
            found
        };
        let is_there = async {
            while messages().len() <= number {
                tokio::task::yield_now().await;
            }
        };
        wait_for("a message", is_there).await;
        let text = std::fs::read_to_string(&messages()[number]).unwrap();
        text.split_whitespace().last().unwrap().to_owned()
    }

    async fn get(&self, path: &str) -> DeviceHttpResponse {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        raw_request(self.server.address(), request.as_bytes()).await
    }
}

fn error(code: &str) -> Result<Value, String> {
    Err(code.to_owned())
}

async fn signed_up(pool: &TestUserPool) {
    let ann = json!({ "Username": "ann", "Password": "Passw0rd!", "UserAttributes": [{ "Name": "email", "Value": "ann@example.com" }] });
    let answer = pool.app("SignUp", ann.clone()).await.unwrap();
    assert_eq!(answer["CodeDeliveryDetails"]["Destination"], "a***@e***");
    assert_eq!(pool.app("SignUp", ann).await, error("UsernameExistsException"));
    assert_eq!(pool.sign_in("ann", "Passw0rd!").await, error("UserNotConfirmedException"));
    let wrong = json!({ "Username": "ann", "ConfirmationCode": "no" });
    assert_eq!(pool.app("ConfirmSignUp", wrong).await, error("CodeMismatchException"));
    pool.app("ConfirmSignUp", json!({ "Username": "ann", "ConfirmationCode": pool.code(0).await })).await.unwrap();
}

#[tokio::test]
async fn somebody_signs_up_signs_in_and_out_and_nothing_is_lost_in_a_restart() {
    let mut pool = TestUserPool::start().await;
    signed_up(&pool).await;
    let tokens = pool.sign_in("ann@example.com", "Passw0rd!").await.unwrap();
    let keys = pool.get(&format!("/{}/.well-known/jwks.json", pool.id)).await.body;
    pool.server.restart().await;
    pool.root.address = pool.server.address();
    assert_eq!(pool.get(&format!("/{}/.well-known/jwks.json", pool.id)).await.body, keys, "the same keys sign");
    let refresh = json!({ "AuthFlow": "REFRESH_TOKEN_AUTH", "AuthParameters": { "REFRESH_TOKEN": tokens["RefreshToken"] } });
    let fresh = pool.app("InitiateAuth", refresh.clone()).await.unwrap()["AuthenticationResult"].clone();
    let user = pool.app("GetUser", json!({ "AccessToken": fresh["AccessToken"] })).await.unwrap();
    assert_eq!(user["Username"], "ann");
    for wrong in [&fresh["IdToken"], &tokens["RefreshToken"], &json!("a.b.c"), &json!("")] {
        assert_eq!(pool.app("GetUser", json!({ "AccessToken": wrong })).await, error("NotAuthorizedException"), "{wrong}");
    }
    pool.app("GlobalSignOut", json!({ "AccessToken": fresh["AccessToken"] })).await.unwrap();
    assert_eq!(pool.app("GetUser", json!({ "AccessToken": fresh["AccessToken"] })).await, error("NotAuthorizedException"));
    assert_eq!(pool.app("InitiateAuth", refresh).await, error("NotAuthorizedException"));
    pool.admin("DeleteUserPool", json!({ "UserPoolId": pool.id })).await;
    assert_eq!(pool.sign_in("ann", "Passw0rd!").await, error("ResourceNotFoundException"));
    assert_eq!(pool.get(&format!("/{}/.well-known/jwks.json", pool.id)).await.status, 400);
}

#[tokio::test]
async fn a_name_of_nobody_is_answered_and_locked_out_like_somebodys() {
    let pool = TestUserPool::start().await;
    signed_up(&pool).await;
    for attempt in 0..7 {
        let answers = [pool.call_sign_in("ann").await, pool.call_sign_in("nobody").await];
        assert_eq!(answers[0], answers[1], "{attempt}");
        assert_eq!(answers[0].1["__type"], "NotAuthorizedException");
    }
    assert_eq!(pool.sign_in("ann", "Passw0rd!").await, error("NotAuthorizedException"), "also with the right password");
    for name in ["ann", "nobody"] {
        let sent = pool.app("ForgotPassword", json!({ "Username": name })).await.unwrap();
        assert_eq!(sent["CodeDeliveryDetails"]["DeliveryMedium"], "EMAIL", "{name}");
        let set = json!({ "Username": name, "ConfirmationCode": "000000x", "Password": "Newpass1!" });
        assert_eq!(pool.app("ConfirmForgotPassword", set).await, error("CodeMismatchException"), "{name}");
    }
    let set = json!({ "Username": "ann", "ConfirmationCode": pool.code(1).await, "Password": "Newpass1!" });
    pool.app("ConfirmForgotPassword", set.clone()).await.unwrap();
    assert_eq!(pool.app("ConfirmForgotPassword", set).await, error("ExpiredCodeException"), "a code is good once");
    pool.sign_in("ann", "Newpass1!").await.unwrap();
}

impl TestUserPool {
    async fn call_sign_in(&self, name: &str) -> (u16, Value) {
        let parameters = json!({ "USERNAME": name, "PASSWORD": "Wrong123!" });
        let body = json!({ "ClientId": self.client, "AuthFlow": "USER_PASSWORD_AUTH", "AuthParameters": parameters });
        self.call(None, "InitiateAuth", body).await
    }
}

#[tokio::test]
async fn whom_an_administrator_makes_chooses_a_password_once() {
    let pool = TestUserPool::start().await;
    let new = json!({ "UserPoolId": pool.id, "Username": "bob", "TemporaryPassword": "First123!", "MessageAction": "SUPPRESS" });
    assert_eq!(pool.admin("AdminCreateUser", new).await["User"]["UserStatus"], "FORCE_CHANGE_PASSWORD");
    let parameters = json!({ "USERNAME": "bob", "PASSWORD": "First123!" });
    let begin = json!({ "AuthFlow": "USER_PASSWORD_AUTH", "AuthParameters": parameters });
    let challenge = pool.app("InitiateAuth", begin).await.unwrap();
    assert_eq!(challenge["ChallengeName"], "NEW_PASSWORD_REQUIRED");
    let respond = |password: &str| {
        let responses = json!({ "USERNAME": "bob", "NEW_PASSWORD": password });
        json!({ "ChallengeName": "NEW_PASSWORD_REQUIRED", "Session": challenge["Session"], "ChallengeResponses": responses })
    };
    assert_eq!(pool.app("RespondToAuthChallenge", respond("short")).await, error("InvalidPasswordException"));
    assert!(pool.app("RespondToAuthChallenge", respond("Second12!")).await.unwrap()["AuthenticationResult"]["IdToken"].is_string());
    assert_eq!(pool.app("RespondToAuthChallenge", respond("Third123!")).await, error("NotAuthorizedException"), "a session is good once");
    pool.sign_in("bob", "Second12!").await.unwrap();
    // What administrators do is signed.
    for operation in ["AdminGetUser", "AdminCreateUser", "ListUsers", "DeleteUserPool", "CreateUserPool", "AdminInitiateAuth"] {
        let body = json!({
            "UserPoolId": pool.id, "Username": "bob", "PoolName": "x", "ClientId": pool.client, "AuthFlow": "ADMIN_USER_PASSWORD_AUTH",
        });
        let (status, answer) = pool.call(None, operation, body).await;
        assert_ne!(status, 200, "{operation}: {answer}");
    }
    // Nobody of another account may.
    let other = AwsClient::of_new_account(pool.server.address(), &pool.server.operator(), "210987654321").await;
    let other = AwsClient { service: "cognito-idp", ..other };
    let (status, answer) = pool.call(Some(&other), "AdminGetUser", json!({ "UserPoolId": pool.id, "Username": "bob" })).await;
    assert_eq!((status, &answer["__type"]), (400, &json!("AccessDeniedException")), "{answer}");
}
