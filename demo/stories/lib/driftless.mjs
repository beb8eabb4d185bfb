// Starts `driftless dev` on a free port and a folder of its own, and reads what it prints.
import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const BINARY = process.env.DRIFTLESS ?? "driftless";

// A running server with its environment for AWS's clients. It ends with `stop`.
export async function startDriftless() {
  const folder = await mkdtemp(join(tmpdir(), "driftless-story-"));
  const child = spawn(BINARY, ["dev", "--data", join(folder, "data"), "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "pipe"] });
  let printed = "";
  const ready = new Promise((resolve, reject) => {
    const read = (chunk) => {
      printed += chunk;
      if (/export AWS_SECRET_ACCESS_KEY=\S+/.test(printed)) resolve();
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("exit", (code) => reject(new Error(`driftless ended with ${code}:\n${printed}`)));
  });
  await ready;
  const environment = Object.fromEntries([...printed.matchAll(/export (AWS_\w+)=(\S+)/g)].map(([, name, value]) => [name, value]));
  environment.AWS_REGION = environment.AWS_DEFAULT_REGION;
  const stop = async () => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.removeAllListeners("exit").once("exit", () => {});
    child.kill("SIGTERM");
    if (child.exitCode === null && child.signalCode === null) await Promise.race([ended, new Promise((resolve) => child.once("exit", resolve))]);
    await rm(folder, { recursive: true, force: true });
  };
  return { endpoint: environment.AWS_ENDPOINT_URL, environment, folder, printed: () => printed, stop };
}

// Runs a program with only these variables of AWS's; returns what it printed.
export async function run(program, args, environment) {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("AWS_"));
  const { stdout } = await promisify(execFile)(program, args, { env: { ...Object.fromEntries(own), AWS_PAGER: "", ...environment } });
  return stdout.trim();
}
