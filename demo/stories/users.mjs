// Stories 1 and 2: somebody signs up at a user pool with amazon-cognito-identity-js and signs in by SRP; an identity pool gives the person an identity and
// credentials of a role, which open the person's own folder of a bucket, and nobody else's. pycognito signs the same person in.
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import cognito from "amazon-cognito-identity-js";
import { CognitoIdentityClient, GetIdCommand } from "@aws-sdk/client-cognito-identity";
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { fromCognitoIdentityPool } from "@aws-sdk/credential-providers";
import { run, startDriftless } from "./lib/driftless.mjs";

const { AuthenticationDetails, CognitoUser, CognitoUserAttribute, CognitoUserPool } = cognito;
const server = await startDriftless();
const { endpoint, environment } = server;
const region = "local";
const aws = async (...args) => JSON.parse((await run("aws", [...args, "--output", "json"], environment)) || "{}");

// A message to an address, from the folder that development has in place of a mail server.
async function code(address) {
  const folder = join(server.folder, "data", "outbox");
  for (let waited = 0; waited < 200; waited += 1) {
    const files = await readdir(folder).catch(() => []);
    const texts = await Promise.all(files.map((name) => readFile(join(folder, name), "utf8")));
    const found = texts.find((text) => text.includes(address))?.match(/\b\d{6}\b/);
    if (found) return found[0];
    await new Promise((resume) => setTimeout(resume, 50));
  }
  throw new Error(`no message to ${address}`);
}

try {
  // The administrator makes a user pool with a client, an identity pool that trusts it, a bucket, and a role.
  const { UserPool: userPool } = await aws("cognito-idp", "create-user-pool", "--pool-name", "people", "--auto-verified-attributes", "email");
  const { UserPoolClient: client } = await aws(
    "cognito-idp", "create-user-pool-client", "--user-pool-id", userPool.Id, "--client-name", "app",
    "--explicit-auth-flows", "ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_USER_PASSWORD_AUTH",
  );
  const provider = `cognito-idp.${region}.amazonaws.com/${userPool.Id}`;
  const { IdentityPoolId: pool } = await aws(
    "cognito-identity", "create-identity-pool", "--identity-pool-name", "app", "--no-allow-unauthenticated-identities",
    "--cognito-identity-providers", `ProviderName=${provider},ClientId=${client.ClientId}`,
  );
  const trust = {
    Version: "2012-10-17",
    Statement: [{
      Effect: "Allow", Principal: { Federated: "cognito-identity.amazonaws.com" }, Action: "sts:AssumeRoleWithWebIdentity",
      Condition: {
        StringEquals: { "cognito-identity.amazonaws.com:aud": pool },
        "ForAnyValue:StringLike": { "cognito-identity.amazonaws.com:amr": "authenticated" },
      },
    }],
  };
  const own = "users/${cognito-identity.amazonaws.com:sub}/*";
  const allow = {
    Version: "2012-10-17",
    Statement: [
      { Effect: "Allow", Action: ["s3:GetObject", "s3:PutObject"], Resource: `arn:aws:s3:::app/${own}` },
      { Effect: "Allow", Action: "s3:ListBucket", Resource: "arn:aws:s3:::app", Condition: { StringLike: { "s3:prefix": own } } },
    ],
  };
  const { Role: role } = await aws("iam", "create-role", "--role-name", "person", "--assume-role-policy-document", JSON.stringify(trust));
  await aws("iam", "put-role-policy", "--role-name", "person", "--policy-name", "own", "--policy-document", JSON.stringify(allow));
  await aws("cognito-identity", "set-identity-pool-roles", "--identity-pool-id", pool, "--roles", `authenticated=${role.Arn}`);
  await aws("s3api", "create-bucket", "--bucket", "app", "--create-bucket-configuration", `LocationConstraint=${region}`);
  console.log("user pool", userPool.Id, "identity pool", pool);

  // Ann signs up, confirms with the code of the message, and signs in: the password never leaves her device.
  const people = new CognitoUserPool({ UserPoolId: userPool.Id, ClientId: client.ClientId, endpoint: `${endpoint}/` });
  const call = (start) => new Promise((resolve, reject) => start((error, value) => (error ? reject(error) : resolve(value))));
  const email = new CognitoUserAttribute({ Name: "email", Value: "ann@example.com" });
  const { userSub } = await call((done) => people.signUp("ann", "Passw0rd!", [email], [], done));
  const ann = new CognitoUser({ Username: "ann", Pool: people });
  assert.equal(await call((done) => ann.confirmRegistration("000000", true, done)).then(() => null, (error) => error.code), "CodeMismatchException");
  const digits = await code("ann@example.com");
  assert.equal(await call((done) => ann.confirmRegistration(digits, true, done)), "SUCCESS");
  const signIn = (password) => new Promise((resolve, reject) => {
    ann.authenticateUser(new AuthenticationDetails({ Username: "ann", Password: password }), { onSuccess: resolve, onFailure: reject });
  });
  assert.equal(await signIn("wrong").then(() => null, (error) => error.code), "NotAuthorizedException");
  const session = await signIn("Passw0rd!");
  const token = session.getIdToken().getJwtToken();
  assert.equal(session.getIdToken().payload.sub, userSub);
  console.log("signed in", userSub);

  // The app hands the token to the identity pool, and gets credentials of the role.
  const logins = { [provider]: token };
  const app = new CognitoIdentityClient({ endpoint, region });
  const { IdentityId: identity } = await app.send(new GetIdCommand({ IdentityPoolId: pool, Logins: logins }));
  const credentials = fromCognitoIdentityPool({ identityPoolId: pool, logins, clientConfig: { endpoint, region } });
  const s3 = new S3Client({ endpoint, region, credentials, forcePathStyle: true });
  await s3.send(new PutObjectCommand({ Bucket: "app", Key: `users/${identity}/note`, Body: "for me" }));
  const read = await s3.send(new GetObjectCommand({ Bucket: "app", Key: `users/${identity}/note` }));
  assert.equal(await read.Body.transformToString(), "for me");
  const listed = await s3.send(new ListObjectsV2Command({ Bucket: "app", Prefix: `users/${identity}/` }));
  assert.deepEqual(listed.Contents.map(({ Key }) => Key), [`users/${identity}/note`]);
  for (const key of ["users/local:somebody/note", `users/${identity}`, `users/${identity}/../local:somebody/note`]) {
    const refused = await s3.send(new PutObjectCommand({ Bucket: "app", Key: key, Body: "x" })).then(() => null, (error) => error.name);
    // A key is a name and never a path: the last one is in the person's own folder, whatever its name looks like.
    assert.equal(refused, key.includes("/../") ? null : "AccessDenied", key);
  }
  const others = await s3.send(new ListObjectsV2Command({ Bucket: "app", Prefix: "users/" })).then(() => null, (error) => error.name);
  assert.equal(others, "AccessDenied");
  console.log("own folder", identity);

  // An access token is no login, and a token of another client is none either.
  const access = session.getAccessToken().getJwtToken();
  const wrong = await app.send(new GetIdCommand({ IdentityPoolId: pool, Logins: { [provider]: access } })).then(() => null, (error) => error.name);
  assert.equal(wrong, "NotAuthorizedException");

  // pycognito proves the same password, by its own SRP.
  const script = "import boto3, sys; from pycognito.aws_srp import AWSSRP; "
    + "c = boto3.client('cognito-idp'); "
    + "a = AWSSRP(username='ann', password='Passw0rd!', pool_id=sys.argv[1], client_id=sys.argv[2], client=c); "
    + "t = a.authenticate_user()['AuthenticationResult']['AccessToken']; print(c.get_user(AccessToken=t)['Username'])";
  assert.equal(await run("python3", ["-c", script, userPool.Id, client.ClientId], environment), "ann");
  console.log("pycognito ann");

  // Signed out everywhere: the refresh token and the access token end.
  await call((done) => ann.globalSignOut({ onSuccess: (value) => done(null, value), onFailure: done }));
  const after = await app.send(new GetIdCommand({ IdentityPoolId: pool, Logins: logins })).then(() => null, (error) => error.name);
  assert.equal(after, "NotAuthorizedException");
  console.log("signed out everywhere");
} finally {
  await server.stop();
}
console.log("stories 1 and 2 went through");
process.exit(0);
