// An OpenID provider that has nothing to do with Driftless: npm's oidc-provider, with people who sign in on its own pages.
import { createHash, randomBytes } from "node:crypto";
import { Provider } from "oidc-provider";

const REDIRECT = "http://127.0.0.1:9/callback";

// Starts a provider with one public client. It ends with `close`.
export async function startProvider(clientId) {
  const server = (await import("node:http")).createServer();
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: clientId, redirect_uris: [REDIRECT], token_endpoint_auth_method: "none",
      grant_types: ["authorization_code"], response_types: ["code"],
    }],
    cookies: { keys: [randomBytes(16).toString("hex")] },
    ttl: { IdToken: 3600 },
  });
  server.on("request", provider.callback());
  return { issuer, close: () => server.close(), signIn: (person) => signIn(issuer, clientId, person) };
}

// Signs somebody in by the code flow with PKCE, as a browser does: forms and cookies. Returns the id token.
async function signIn(issuer, clientId, person) {
  const verifier = randomBytes(32).toString("base64url");
  const challenge = createHash("sha256").update(verifier).digest("base64url");
  const asked = new URLSearchParams({
    client_id: clientId, response_type: "code", scope: "openid", redirect_uri: REDIRECT, code_challenge: challenge, code_challenge_method: "S256",
  });
  const cookies = new Map();
  const visit = async (url, form) => {
    const headers = { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") };
    const answer = await fetch(new URL(url, issuer), {
      method: form ? "POST" : "GET", headers, redirect: "manual", body: form && new URLSearchParams(form),
    });
    for (const cookie of answer.headers.getSetCookie()) {
      const [name, value] = cookie.split(";")[0].split("=");
      cookies.set(name, value);
    }
    return answer;
  };
  let answer = await visit(`/auth?${asked}`);
  for (let steps = 0; steps < 12; steps += 1) {
    const next = answer.headers.get("location");
    if (next?.startsWith(REDIRECT)) {
      const code = new URL(next).searchParams.get("code");
      const form = { grant_type: "authorization_code", code, redirect_uri: REDIRECT, client_id: clientId, code_verifier: verifier };
      const tokens = await (await fetch(new URL("/token", issuer), { method: "POST", body: new URLSearchParams(form) })).json();
      if (!tokens.id_token) throw new Error(`no id token: ${JSON.stringify(tokens)}`);
      return tokens.id_token;
    }
    if (next) {
      answer = await visit(next);
    } else {
      const page = await answer.text();
      const action = page.match(/action="([^"]+)"/)?.[1];
      if (!action) throw new Error(`the provider shows no form: ${page.slice(0, 500)}`);
      const login = { prompt: "login", login: person, password: "any" };
      answer = await visit(action, page.includes('value="login"') ? login : { prompt: "consent" });
    }
  }
  throw new Error("the provider asks too often");
}
