// Story 3, Amazon Cognito Sync: two devices of one guest with aws-sdk v2 and amazon-cognito-js, unchanged, with the guest's own credentials.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import {
  CognitoIdentityClient, GetCredentialsForIdentityCommand, GetIdCommand, ListIdentityPoolsCommand,
} from "@aws-sdk/client-cognito-identity";
import { run, startDriftless } from "./lib/driftless.mjs";

const server = await startDriftless();
const { endpoint, environment } = server;
try {
  const credentials = { accessKeyId: environment.AWS_ACCESS_KEY_ID, secretAccessKey: environment.AWS_SECRET_ACCESS_KEY };
  const administrator = new CognitoIdentityClient({ endpoint, region: "local", credentials });
  const { IdentityPools: [pool] } = await administrator.send(new ListIdentityPoolsCommand({ MaxResults: 1 }));

  // A guest gets an identity and credentials of its role: nothing is signed.
  const app = new CognitoIdentityClient({ endpoint, region: "local" });
  const { IdentityId: identity } = await app.send(new GetIdCommand({ IdentityPoolId: pool.IdentityPoolId }));
  const { Credentials: guest } = await app.send(new GetCredentialsForIdentityCommand({ IdentityId: identity }));
  console.log("guest", identity);
  const own = {
    AWS_ENDPOINT_URL: endpoint, AWS_DEFAULT_REGION: "local", AWS_ACCESS_KEY_ID: guest.AccessKeyId, AWS_SECRET_ACCESS_KEY: guest.SecretKey,
    AWS_SESSION_TOKEN: guest.SessionToken, IDENTITY_POOL_ID: pool.IdentityPoolId, IDENTITY_ID: identity,
  };
  const story = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "cognito-sync", "story.js");
  console.log(await run(process.execPath, [story], own));

  // The role lets a guest at its own datasets and at nobody else's.
  const { IdentityId: other } = await app.send(new GetIdCommand({ IdentityPoolId: pool.IdentityPoolId }));
  const list = (of) => run("aws", ["cognito-sync", "list-datasets", "--identity-pool-id", pool.IdentityPoolId, "--identity-id", of], own);
  assert.deepEqual(JSON.parse(await list(identity)).Datasets, [], "the story has deleted its dataset");
  const refused = await list(other).then(() => null, (error) => String(error.stderr));
  assert.match(refused ?? "", /AccessDenied|NotAuthorized/);
  console.log("refused", refused.trim());
} finally {
  await server.stop();
}
console.log("story 3 went through");
process.exit(0);
