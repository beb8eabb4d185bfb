// Story 5, STS: the token of an outside provider gives short-lived credentials of a role.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CreateOpenIDConnectProviderCommand, CreateRoleCommand, IAMClient } from "@aws-sdk/client-iam";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { fromWebToken } from "@aws-sdk/credential-providers";
import { run, startDriftless } from "./lib/driftless.mjs";
import { startProvider } from "./lib/outside_provider.mjs";

const server = await startDriftless();
const provider = await startProvider("notes-app");
const { endpoint, environment } = server;
try {
  // The administrator trusts the provider, and lets one person take the role.
  const credentials = { accessKeyId: environment.AWS_ACCESS_KEY_ID, secretAccessKey: environment.AWS_SECRET_ACCESS_KEY };
  const iam = new IAMClient({ endpoint, region: "local", credentials });
  const { OpenIDConnectProviderArn: arn } = await iam.send(new CreateOpenIDConnectProviderCommand({ Url: provider.issuer, ClientIDList: ["notes-app"] }));
  const key = provider.issuer.replace("http://", "");
  const trust = (person) => JSON.stringify({
    Version: "2012-10-17",
    Statement: [{
      Effect: "Allow", Principal: { Federated: arn }, Action: "sts:AssumeRoleWithWebIdentity",
      Condition: { StringEquals: { [`${key}:aud`]: "notes-app", [`${key}:sub`]: person } },
    }],
  });
  const { Role: role } = await iam.send(new CreateRoleCommand({ RoleName: "from-outside", AssumeRolePolicyDocument: trust("ann") }));
  console.log("trusted", arn);

  // Ann signs in at the provider, and her token is enough: nothing signs the call.
  const token = await provider.signIn("ann");
  const expected = "arn:aws:sts::123456789012:assumed-role/from-outside/";
  const region = "local";
  const ask = { roleArn: role.Arn, roleSessionName: "ann-phone", webIdentityToken: token, durationSeconds: 900, clientConfig: { endpoint, region } };
  const given = await fromWebToken(ask)();
  const left = (given.expiration.getTime() - Date.now()) / 1000;
  assert.ok(left > 800 && left <= 901, `they end in ${left} s`);
  const who = await new STSClient({ endpoint, region, credentials: given }).send(new GetCallerIdentityCommand({}));
  assert.equal(who.Arn, `${expected}ann-phone`);
  console.log("SDK for JavaScript", who.Arn);

  // The command line and boto3 find the token in a file.
  const file = join(server.folder, "token");
  await writeFile(file, token);
  const web = {
    AWS_ENDPOINT_URL: endpoint, AWS_DEFAULT_REGION: region, AWS_WEB_IDENTITY_TOKEN_FILE: file, AWS_ROLE_ARN: role.Arn, AWS_ROLE_SESSION_NAME: "ann-laptop",
  };
  const cli = await run("aws", ["sts", "get-caller-identity", "--query", "Arn", "--output", "text"], web);
  assert.equal(cli, `${expected}ann-laptop`);
  console.log("command line", cli);
  const boto = await run("python3", ["-c", "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"], web);
  assert.equal(boto, `${expected}ann-laptop`);
  console.log("boto3", boto);

  // Bob's token is as good, but the role is not for him; and what was changed in a token is refused.
  const refused = async (what, code) => {
    const error = await fromWebToken({ ...ask, webIdentityToken: what })().then(() => null, (why) => why);
    assert.equal(error?.name, code, String(error));
    console.log("refused", code, error.message);
  };
  await refused(await provider.signIn("bob"), "AccessDenied");
  await refused(`${token.slice(0, -8)}AAAAAAAA`, "InvalidIdentityTokenException");
} finally {
  provider.close();
  await server.stop();
}
console.log("story 5 went through");
process.exit(0);
