//! S3 over real sockets: objects and uploads, and who may do what in a bucket of its own and of another account.

use crate::support::aws::{AwsClient, element};
use crate::support::{DeviceHttpResponse, TestServer, wait_for};

const OWN: &str = "123456789012";
const OTHER: &str = "210987654321";

/// The least that a part has which is not the last one.
const PART_BYTES: usize = 5 << 20;

async fn account(server: &TestServer, id: &str) -> AwsClient {
    AwsClient::of_new_account(server.address(), &server.operator(), id).await.of("iam")
}

/// A server with an account that has the bucket `box`.
async fn with_bucket() -> (TestServer, AwsClient) {
    let server = TestServer::start().await;
    let root = account(&server, OWN).await;
    done(&root, "PUT", "/box", "").await;
    (server, root)
}

/// A request that must be answered with success.
async fn done(client: &AwsClient, method: &str, path: &str, body: &str) -> DeviceHttpResponse {
    let answer = client.s3(method, path, &[], body).await;
    assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.body);
    answer
}

fn outcome(answer: &DeviceHttpResponse) -> String {
    if answer.status < 300 { answer.status.to_string() } else { format!("{} {}", answer.status, element(answer, "Code")) }
}

async fn tried(client: &AwsClient, method: &str, path: &str) -> String {
    outcome(&client.s3(method, path, &[], "").await)
}

async fn iam(client: &AwsClient, action: &str, fields: &[(&str, &str)]) -> DeviceHttpResponse {
    let answer = client.form(action, fields).await;
    assert_eq!(answer.status, 200, "{action}: {}", answer.body);
    answer
}

/// A user with a key and this statement as its policy.
async fn user(root: &AwsClient, name: &str, statement: &str) -> AwsClient {
    iam(root, "CreateUser", &[("UserName", name)]).await;
    let document = policy(statement);
    iam(root, "PutUserPolicy", &[("UserName", name), ("PolicyName", "own"), ("PolicyDocument", &document)]).await;
    let key = iam(root, "CreateAccessKey", &[("UserName", name)]).await;
    root.with(element(&key, "AccessKeyId"), element(&key, "SecretAccessKey"), None)
}

fn policy(statement: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow",{statement}}}]}}"#)
}

fn keys(answer: &DeviceHttpResponse, name: &str) -> Vec<String> {
    let open = format!("<{name}>");
    answer.body.split(&open).skip(1).map(|rest| rest.split('<').next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn an_object_is_read_as_it_was_written_also_in_ranges_and_after_a_restart() {
    let (mut server, mut root) = with_bucket().await;
    let headers = [("content-type", "text/x-a"), ("cache-control", "max-age=60"), ("x-amz-meta-by", "ann")];
    let put = root.s3("PUT", "/box/a/b%20c", &headers, "hello world").await;
    assert_eq!((put.status, put.header("etag")), (200, Some("\"5eb63bbbe01eeed093cb22bb8f5acdc3\"")), "{}", put.body);
    done(&root, "PUT", "/box/plain", "x").await;
    for restarts in 0..2 {
        let got = done(&root, "GET", "/box/a/b%20c", "").await;
        assert_eq!(got.body, "hello world");
        for (name, value) in headers {
            assert_eq!(got.header(name), Some(value));
        }
        let plain = done(&root, "GET", "/box/plain", "").await;
        assert_eq!(plain.header("cache-control"), None, "nothing was stored with it");
        if restarts == 0 {
            server.restart().await;
            root.address = server.address();
        }
    }
    for (range, expected, content_range) in
        [("bytes=0-4", "hello", "bytes 0-4/11"), ("bytes=-5", "world", "bytes 6-10/11"), ("bytes=6-99", "world", "bytes 6-10/11")]
    {
        let part = root.s3("GET", "/box/a/b%20c", &[("range", range)], "").await;
        assert_eq!((part.status, &*part.body, part.header("content-range")), (206, expected, Some(content_range)), "{range}");
    }
    assert_eq!(outcome(&root.s3("GET", "/box/a/b%20c", &[("range", "bytes=11-")], "").await), "416 InvalidRange");
    let unchanged = [("if-none-match", "\"5eb63bbbe01eeed093cb22bb8f5acdc3\"")];
    assert_eq!(root.s3("GET", "/box/a/b%20c", &unchanged, "").await.status, 304);
    assert_eq!(tried(&root, "GET", "/box/none").await, "404 NoSuchKey");
    assert_eq!(tried(&root, "GET", "/none/a").await, "404 NoSuchBucket");
    assert_eq!(tried(&root, "DELETE", "/box").await, "409 BucketNotEmpty");
    // The bytes are not those that were signed.
    let other = [("x-amz-content-sha256", "0".repeat(64))].map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    let unsigned = root.unsigned_s3("PUT", "/box/x", &other, "x").await;
    assert_eq!(outcome(&unsigned), "403 AccessDenied", "nobody may write");
}

#[tokio::test]
async fn a_list_has_what_begins_with_a_prefix_and_folds_at_the_delimiter() {
    let (_server, root) = with_bucket().await;
    for key in ["a", "photos/1", "photos/2/x", "photos/2/y", "z"] {
        done(&root, "PUT", &format!("/box/{key}"), key).await;
    }
    let top = done(&root, "GET", "/box?delimiter=%2F&list-type=2", "").await;
    assert_eq!((keys(&top, "Key"), keys(&top, "KeyCount")), (vec!["a".to_owned(), "z".to_owned()], vec!["3".to_owned()]), "{}", top.body);
    assert!(top.body.contains("<CommonPrefixes><Prefix>photos/</Prefix></CommonPrefixes>"), "{}", top.body);
    let below = done(&root, "GET", "/box?delimiter=%2F&list-type=2&prefix=photos%2F", "").await;
    assert_eq!(keys(&below, "Key"), ["photos/1"]);
    assert!(below.body.contains("<Prefix>photos/2/</Prefix>"), "{}", below.body);
    let first = done(&root, "GET", "/box?list-type=2&max-keys=2", "").await;
    assert_eq!((keys(&first, "Key"), element(&first, "IsTruncated")), (vec!["a".to_owned(), "photos/1".to_owned()], "true"));
    let next = format!("/box?continuation-token={}&list-type=2", element(&first, "NextContinuationToken"));
    assert_eq!(keys(&done(&root, "GET", &next, "").await, "Key"), ["photos/2/x", "photos/2/y", "z"]);
    let delete = "<Delete><Object><Key>a</Key></Object><Object><Key>never</Key></Object></Delete>";
    let deleted = root.s3("POST", "/box?delete=", &[], delete).await;
    assert_eq!((deleted.status, keys(&deleted, "Key")), (200, vec!["a".to_owned(), "never".to_owned()]), "{}", deleted.body);
    assert_eq!(tried(&root, "GET", "/box/a").await, "404 NoSuchKey");
}

#[tokio::test]
async fn a_copy_asks_for_its_source_and_an_upload_in_parts_becomes_one_object() {
    let (mut server, mut root) = with_bucket().await;
    done(&root, "PUT", "/secret", "").await;
    done(&root, "PUT", "/secret/a", "hidden").await;
    done(&root, "PUT", "/box/a", "seen").await;
    let ann = user(&root, "ann", r#""Action":"s3:*","Resource":["arn:aws:s3:::box","arn:aws:s3:::box/*"]"#).await;
    let copied = ann.s3("PUT", "/box/b", &[("x-amz-copy-source", "/box/a")], "").await;
    assert_eq!(copied.status, 200, "{}", copied.body);
    assert_eq!(done(&ann, "GET", "/box/b", "").await.body, "seen");
    let forbidden = ann.s3("PUT", "/box/c", &[("x-amz-copy-source", "/secret/a")], "").await;
    assert_eq!(outcome(&forbidden), "403 AccessDenied");
    assert_eq!(tried(&root, "GET", "/box/c").await, "404 NoSuchKey");

    let begun = done(&ann, "POST", "/box/large?uploads=", "").await;
    let id = element(&begun, "UploadId").to_owned();
    let mut listed = String::new();
    for (number, body) in [(1, "a".repeat(PART_BYTES)), (2, "the end".to_owned())] {
        let part = done(&ann, "PUT", &format!("/box/large?partNumber={number}&uploadId={id}"), &body).await;
        let etag = part.header("etag").unwrap();
        listed.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
    }
    assert_eq!(tried(&ann, "GET", "/box/large").await, "404 NoSuchKey", "it is not complete");
    assert_eq!(keys(&done(&ann, "GET", "/box?uploads=", "").await, "UploadId"), [id.as_str()]);
    let whole = format!("<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>");
    let completed = done(&ann, "POST", &format!("/box/large?uploadId={id}"), &whole).await;
    assert!(element(&completed, "ETag").contains("-2"), "{}", completed.body);
    server.restart().await;
    root.address = server.address();
    let around = [("range", format!("bytes={}-{}", PART_BYTES - 2, PART_BYTES + 2))];
    let around = root.s3("GET", "/box/large", &around.each_ref().map(|(name, value)| (*name, value.as_str())), "").await;
    assert_eq!((around.status, &*around.body), (206, "aathe"));

    let begun = done(&root, "POST", "/box/other?uploads=", "").await;
    let path = format!("/box/other?uploadId={}", element(&begun, "UploadId"));
    assert_eq!(tried(&root, "DELETE", &path).await, "204");
    assert_eq!(tried(&root, "DELETE", &path).await, "404 NoSuchUpload");
}

#[tokio::test]
async fn a_user_reaches_its_own_folder_only_also_where_a_key_has_dots() {
    let (_server, root) = with_bucket().await;
    let own = r#""Action":["s3:GetObject","s3:PutObject","s3:DeleteObject"],"Resource":"arn:aws:s3:::box/users/${aws:username}/*""#;
    let (u1, u2) = (user(&root, "u1", own).await, user(&root, "u2", own).await);
    done(&u2, "PUT", "/box/users/u2/a", "of u2").await;
    for (method, path) in
        [("GET", "/box/users/u2/a"), ("PUT", "/box/users/u2/a"), ("DELETE", "/box/users/u2/a"), ("GET", "/box?list-type=2")]
    {
        assert_eq!(tried(&u1, method, path).await, "403 AccessDenied", "{method} {path}");
    }
    // A key is no path: this one is in the folder of u1, and leads nowhere else.
    done(&u1, "PUT", "/box/users/u1/../u2/a", "of u1").await;
    assert_eq!(done(&u2, "GET", "/box/users/u2/a", "").await.body, "of u2");
    assert_eq!(done(&u1, "GET", "/box/users/u1/../u2/a", "").await.body, "of u1");
    let listed = done(&root, "GET", "/box?list-type=2", "").await;
    assert_eq!(keys(&listed, "Key"), ["users/u1/../u2/a", "users/u2/a"]);
    let delete = "<Delete><Object><Key>users/u1/../u2/a</Key></Object><Object><Key>users/u2/a</Key></Object></Delete>";
    let deleted = u1.s3("POST", "/box?delete=", &[], delete).await;
    assert_eq!((deleted.status, keys(&deleted, "Key")), (200, vec!["users/u1/../u2/a".to_owned(), "users/u2/a".to_owned()]));
    assert_eq!(element(&deleted, "Code"), "AccessDenied", "{}", deleted.body);
    assert_eq!(done(&u2, "GET", "/box/users/u2/a", "").await.body, "of u2");
    // Who has the link may read what its maker may, and only that.
    let link = u2.presigned("GET", "/box/users/u2/a");
    assert_eq!(root.unsigned_s3("GET", &link, "", "").await.body, "of u2");
    assert_eq!(outcome(&root.unsigned_s3("PUT", &link, "", "x").await), "403 SignatureDoesNotMatch");
    let moved = link.replace("u2/a?", "u2/b?");
    assert_eq!(outcome(&root.unsigned_s3("GET", &moved, "", "").await), "403 SignatureDoesNotMatch");
    let not_its_own = u1.presigned("GET", "/box/users/u2/a");
    assert_eq!(outcome(&root.unsigned_s3("GET", &not_its_own, "", "").await), "403 AccessDenied");
}

#[tokio::test]
async fn a_bucket_policy_lets_in_another_account_and_anybody() {
    let (server, root) = with_bucket().await;
    let other = account(&server, OTHER).await;
    done(&root, "PUT", "/box/public/a", "for all").await;
    done(&root, "PUT", "/box/shared/a", "for b").await;
    for path in ["/box/public/a", "/box/shared/a", "/box?list-type=2"] {
        assert_eq!(tried(&other, "GET", path).await, "403 AccessDenied", "{path}");
        assert_eq!(outcome(&root.unsigned_s3("GET", path, "", "").await), "403 AccessDenied", "{path}");
    }
    let document = format!(
        r#"{{"Version":"2012-10-17","Statement":[
            {{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::box/public/*"}},
            {{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{OTHER}:root"}},"Action":"s3:GetObject","Resource":"arn:aws:s3:::box/shared/*"}}]}}"#
    );
    assert_eq!(tried(&other, "PUT", "/box?policy=").await, "403 AccessDenied");
    done(&root, "PUT", "/box?policy=", &document).await;
    assert_eq!(root.unsigned_s3("GET", "/box/public/a", "", "").await.body, "for all");
    assert_eq!(outcome(&root.unsigned_s3("GET", "/box/shared/a", "", "").await), "403 AccessDenied");
    assert_eq!(outcome(&root.unsigned_s3("PUT", "/box/public/a", "", "mine").await), "403 AccessDenied");
    assert_eq!(done(&other, "GET", "/box/shared/a", "").await.body, "for b");
    assert_eq!(tried(&other, "PUT", "/box/shared/a").await, "403 AccessDenied");
    // Another account's user needs both sides: its own account must allow it as well.
    let both = user(&other, "both", r#""Action":"s3:GetObject","Resource":"arn:aws:s3:::box/*""#).await;
    let one = user(&other, "one", r#""Action":"s3:PutObject","Resource":"arn:aws:s3:::box/*""#).await;
    assert_eq!(tried(&both, "GET", "/box/shared/a").await, "200");
    assert_eq!(tried(&one, "GET", "/box/shared/a").await, "403 AccessDenied");
    assert_eq!(tried(&one, "PUT", "/box/shared/a").await, "403 AccessDenied");
    done(&root, "DELETE", "/box?policy=", "").await;
    assert_eq!(tried(&other, "GET", "/box/shared/a").await, "403 AccessDenied", "at once");
    assert_eq!(tried(&other, "PUT", "/box").await, "409 BucketAlreadyExists");
}

#[tokio::test]
async fn the_credentials_of_a_role_reach_what_the_role_may() {
    let (_server, root) = with_bucket().await;
    done(&root, "PUT", "/box/logs/a", "line").await;
    let trust = policy(&format!(r#""Principal":{{"AWS":"{OWN}"}},"Action":"sts:AssumeRole""#));
    iam(&root, "CreateRole", &[("RoleName", "reader"), ("AssumeRolePolicyDocument", &trust)]).await;
    let may = policy(r#""Action":"s3:GetObject","Resource":"arn:aws:s3:::box/logs/*""#);
    iam(&root, "PutRolePolicy", &[("RoleName", "reader"), ("PolicyName", "p"), ("PolicyDocument", &may)]).await;
    let arn = format!("arn:aws:iam::{OWN}:role/reader");
    let ann = user(&root, "ann", &format!(r#""Action":"sts:AssumeRole","Resource":"{arn}""#)).await;
    assert_eq!(tried(&ann, "GET", "/box/logs/a").await, "403 AccessDenied");
    let assumed = iam(&ann.of("sts"), "AssumeRole", &[("RoleArn", &arn), ("RoleSessionName", "s1")]).await;
    let (key, secret) = (element(&assumed, "AccessKeyId"), element(&assumed, "SecretAccessKey"));
    let session = ann.with(key, secret, Some(element(&assumed, "SessionToken")));
    assert_eq!(done(&session, "GET", "/box/logs/a", "").await.body, "line");
    let refused = session.s3("PUT", "/box/logs/a", &[], "x").await;
    assert_eq!(outcome(&refused), "403 AccessDenied");
    let words = format!(
        "User: arn:aws:sts::{OWN}:assumed-role/reader/s1 is not authorized to perform: s3:PutObject on resource: &quot;arn:aws:s3:::box/logs/a&quot; because"
    );
    assert!(element(&refused, "Message").starts_with(&words), "{}", refused.body);
    let link = session.presigned("GET", "/box/logs/a");
    assert_eq!(root.unsigned_s3("GET", &link, "", "").await.body, "line");
    assert_eq!(tried(&AwsClient { token: None, ..session.clone() }, "GET", "/box/logs/a").await, "403 InvalidAccessKeyId");
    assert_eq!(tried(&AwsClient { secret: "wrong".to_owned(), ..session }, "GET", "/box/logs/a").await, "403 SignatureDoesNotMatch");
}

/// How many files with the bytes of objects a server has.
fn files(server: &TestServer) -> usize {
    let folders = std::fs::read_dir(server.folder().join("store").join("objects")).unwrap();
    folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
}

#[tokio::test]
async fn an_upload_that_nobody_completes_ends_after_seven_days() {
    const DAY_MS: u64 = 24 * 3600 * 1000;
    let (mut server, mut root) = with_bucket().await;
    done(&root, "PUT", "/box/kept", "kept").await;
    let begun = done(&root, "POST", "/box/a?uploads=", "").await;
    let path = format!("/box/a?partNumber=1&uploadId={}", element(&begun, "UploadId"));
    done(&root, "PUT", &path, "part").await;
    assert_eq!(files(&server), 2);
    server.advance_clock(6 * DAY_MS);
    server.restart().await;
    // Signatures are checked by the system's clock, so the test asks again under that one.
    server.set_clock_back(6 * DAY_MS);
    server.restart().await;
    root.address = server.address();
    assert_eq!(keys(&done(&root, "GET", "/box?uploads=", "").await, "Key"), ["a"]);
    server.advance_clock(8 * DAY_MS);
    server.restart().await;
    wait_for("the sweep", async {
        while files(&server) > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    server.set_clock_back(8 * DAY_MS);
    server.restart().await;
    root.address = server.address();
    assert_eq!(tried(&root, "PUT", &path).await, "404 NoSuchUpload");
    assert_eq!(done(&root, "GET", "/box/kept", "").await.body, "kept");
}

#[tokio::test]
async fn what_makes_another_operation_does_nothing_of_the_one_with_its_path() {
    let (_server, root) = with_bucket().await;
    done(&root, "PUT", "/box/note", "mine").await;
    for (method, path) in [
        ("DELETE", "/box/note?annotation=&annotationName=a"),
        ("DELETE", "/box/note?versionId=1"),
        ("DELETE", "/box/note?tagging="),
        ("PUT", "/box/note?acl="),
        ("PUT", "/box/note?renameObject="),
        ("GET", "/box/note?torrent="),
        ("DELETE", "/box?analytics=&id=x"),
    ] {
        assert_eq!(tried(&root, method, path).await, "501 NotImplemented", "{method} {path}");
    }
    assert_eq!(done(&root, "GET", "/box/note", "").await.body, "mine");
    done(&root, "DELETE", "/box/note", "").await;
    assert_eq!(tried(&root, "DELETE", "/box?metrics=&id=x").await, "501 NotImplemented");
    done(&root, "HEAD", "/box", "").await;
}
