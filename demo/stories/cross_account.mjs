// Story 6, across two accounts: people of one account read the logs of another through a group, a role and the command line's own profiles.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, startDriftless } from "./lib/driftless.mjs";

const OTHER = "210987654321";
const ROLE = `arn:aws:iam::${OTHER}:role/logs-reader`;
const SESSION = `arn:aws:sts::${OTHER}:assumed-role/logs-reader`;

const server = await startDriftless();
const files = await mkdtemp(join(tmpdir(), "driftless-story-files-"));
const { endpoint, environment: own } = server;
const { AWS_ENDPOINT_URL, AWS_DEFAULT_REGION, AWS_REGION } = own;
const anybody = { AWS_ENDPOINT_URL, AWS_DEFAULT_REGION, AWS_REGION };

const aws = (environment) => (...args) => run("aws", [...args, "--output", "text"], environment);
// A call that must be refused, with AWS's code and words.
const refused = async (environment, args, code, words) => {
  const why = await aws(environment)(...args).then((printed) => assert.fail(`it was allowed: ${args.join(" ")}: ${printed}`), (error) => error.stderr ?? String(error));
  assert.ok(why.includes(`(${code})`) && why.includes(words), `${args.join(" ")}: ${why}`);
  console.log("refused", why.trim());
};
const policy = (...statements) => JSON.stringify({ Version: "2012-10-17", Statement: statements.map((statement) => ({ Effect: "Allow", ...statement })) });
const trust = (principal, more = {}) => policy({ Principal: { AWS: principal }, Action: "sts:AssumeRole", ...more });

try {
  const account = await aws(own)("sts", "get-caller-identity", "--query", "Account");

  // Account B has the bucket, and a role that account A may hand to its people.
  const made = await run(process.env.DRIFTLESS ?? "driftless", ["access", "init", "--account", "Logs", "--id", OTHER, "--url", endpoint], {});
  const keys = Object.fromEntries([...made.matchAll(/export (AWS_\w+)=(\S+)/g)].map(([, name, value]) => [name, value]));
  const b = { ...anybody, ...keys };
  assert.equal(await aws(b)("sts", "get-caller-identity", "--query", "Arn"), `arn:aws:iam::${OTHER}:root`);
  await aws(b)("s3", "mb", "s3://logs");
  const line = join(files, "line");
  await writeFile(line, "started\n");
  await aws(b)("s3", "cp", line, "s3://logs/app/today");
  await aws(b)("s3", "mb", "s3://secrets");
  await aws(b)("s3", "cp", line, "s3://secrets/a");
  const reads = policy({ Action: "s3:ListBucket", Resource: "arn:aws:s3:::logs" }, { Action: "s3:GetObject", Resource: "arn:aws:s3:::logs/*" });
  const readsArn = await aws(b)("iam", "create-policy", "--policy-name", "read-logs", "--policy-document", reads, "--query", "Policy.Arn");
  await aws(b)("iam", "create-role", "--role-name", "logs-reader", "--assume-role-policy-document", trust(`arn:aws:iam::${account}:root`));
  await aws(b)("iam", "attach-role-policy", "--role-name", "logs-reader", "--policy-arn", readsArn);

  // Account A says who of its people may take the role: those of a group.
  const a = own;
  await aws(a)("iam", "create-group", "--group-name", "support");
  const assumes = policy({ Action: "sts:AssumeRole", Resource: ROLE });
  const assumesArn = await aws(a)("iam", "create-policy", "--policy-name", "read-logs-of-b", "--policy-document", assumes, "--query", "Policy.Arn");
  await aws(a)("iam", "attach-group-policy", "--group-name", "support", "--policy-arn", assumesArn);
  const person = async (name) => {
    await aws(a)("iam", "create-user", "--user-name", name);
    const [id, secret] = (await aws(a)("iam", "create-access-key", "--user-name", name, "--query", "AccessKey.[AccessKeyId,SecretAccessKey]")).split(/\s+/);
    return { ...anybody, AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret };
  };
  const [ann, bob] = [await person("ann"), await person("bob")];
  await aws(a)("iam", "add-user-to-group", "--group-name", "support", "--user-name", "ann");

  // Ann's own profile, and one that takes the role by itself.
  const config = join(files, "config");
  await writeFile(config, [
    "[profile ann]", `aws_access_key_id = ${ann.AWS_ACCESS_KEY_ID}`, `aws_secret_access_key = ${ann.AWS_SECRET_ACCESS_KEY}`,
    "[profile logs]", `role_arn = ${ROLE}`, "source_profile = ann", "role_session_name = ann", "",
  ].join("\n"));
  // The command line keeps a role's credentials in the home folder, also for the next server.
  const logs = { ...anybody, HOME: files, AWS_CONFIG_FILE: config, AWS_SHARED_CREDENTIALS_FILE: join(files, "none"), AWS_PROFILE: "logs" };
  assert.equal(await aws(logs)("sts", "get-caller-identity", "--query", "Arn"), `${SESSION}/ann`);
  assert.match(await aws(logs)("s3", "ls", "s3://logs/app/"), /today/);
  assert.equal(await aws(logs)("s3", "cp", "s3://logs/app/today", "-"), "started");
  console.log("read s3://logs/app/today as", `${SESSION}/ann`);

  // What the role does not give.
  const session = `User: ${SESSION}/ann is not authorized to perform:`;
  const missing = (action) => `because no identity-based policy allows the ${action} action`;
  const out = join(files, "out");
  await refused(logs, ["s3api", "put-object", "--bucket", "logs", "--key", "app/today", "--body", line], "AccessDenied", `${session} s3:PutObject on resource: "arn:aws:s3:::logs/app/today" ${missing("s3:PutObject")}`);
  await refused(logs, ["s3api", "delete-object", "--bucket", "logs", "--key", "app/today"], "AccessDenied", `${session} s3:DeleteObject`);
  await refused(logs, ["s3api", "get-object", "--bucket", "secrets", "--key", "a", out], "AccessDenied", `${session} s3:GetObject on resource: "arn:aws:s3:::secrets/a" ${missing("s3:GetObject")}`);
  await refused(logs, ["s3api", "list-objects-v2", "--bucket", "demo"], "AccessDenied", `${session} s3:ListBucket`);
  await refused(logs, ["iam", "list-users"], "AccessDenied", `${session} iam:ListUsers`);

  // Without the role Ann has nothing in the other account; without the group Bob has no role.
  const user = (name) => `User: arn:aws:iam::${account}:user/${name} is not authorized to perform:`;
  await refused(ann, ["s3api", "get-object", "--bucket", "logs", "--key", "app/today", out], "AccessDenied", `${user("ann")} s3:GetObject`);
  const take = ["sts", "assume-role", "--role-arn", ROLE, "--role-session-name", "shell"];
  await refused(bob, take, "AccessDenied", `${user("bob")} sts:AssumeRole on resource: ${ROLE}`);
  await refused(a, take, "AccessDenied", "Roles may not be assumed by root accounts.");
  await refused(ann, [...take, "--duration-seconds", "43201"], "ValidationError", "Value at 'durationSeconds' failed to satisfy constraint");

  // Both sides must agree: the role may ask for an external id, or trust another account.
  const trusts = (document) => aws(b)("iam", "update-assume-role-policy", "--role-name", "logs-reader", "--policy-document", document);
  await trusts(trust(`arn:aws:iam::${account}:root`, { Condition: { StringEquals: { "sts:ExternalId": "ticket-7" } } }));
  await refused(ann, take, "AccessDenied", `${user("ann")} sts:AssumeRole`);
  await refused(ann, [...take, "--external-id", "ticket-8"], "AccessDenied", `${user("ann")} sts:AssumeRole`);
  assert.equal(await aws(ann)(...take, "--external-id", "ticket-7", "--query", "AssumedRoleUser.Arn"), `${SESSION}/shell`);
  await trusts(trust(`arn:aws:iam::${OTHER}:root`));
  await refused(ann, [...take, "--external-id", "ticket-7"], "AccessDenied", `${user("ann")} sts:AssumeRole`);
  await trusts(trust(`arn:aws:iam::${account}:root`));

  // A session needs its token, and what is taken away counts at once.
  const given = await aws(ann)(...take, "--query", "Credentials.[AccessKeyId,SecretAccessKey,SessionToken]");
  const [AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN] = given.split(/\s+/);
  const held = { ...anybody, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN };
  const read = ["s3api", "get-object", "--bucket", "logs", "--key", "app/today", out];
  await aws(held)(...read);
  const { AWS_SESSION_TOKEN: _, ...tokenless } = held;
  await refused(tokenless, read, "InvalidAccessKeyId", "does not exist in our records");
  await refused({ ...held, AWS_SESSION_TOKEN: `${AWS_SESSION_TOKEN.slice(0, -8)}AAAAAAAA` }, read, "InvalidToken", "The provided token is malformed or otherwise invalid");
  await aws(b)("iam", "detach-role-policy", "--role-name", "logs-reader", "--policy-arn", readsArn);
  await refused(held, read, "AccessDenied", `User: ${SESSION}/shell is not authorized to perform: s3:GetObject`);
  await aws(a)("iam", "remove-user-from-group", "--group-name", "support", "--user-name", "ann");
  await refused(ann, take, "AccessDenied", `${user("ann")} sts:AssumeRole`);
} finally {
  await server.stop();
  await rm(files, { recursive: true, force: true });
}
console.log("story 6 went through");
process.exit(0);
