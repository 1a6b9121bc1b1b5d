// Plain OAuth 2 as simple-oauth2 does it: code, refresh, revocation; the PKCE parameters are passed through.
import { createHash, randomBytes } from "node:crypto";
import { AuthorizationCode } from "simple-oauth2";
import { app, callModel, callRevoked, done, open } from "./person.mjs";

const flow = new AuthorizationCode({
  client: { id: app.client_id, secret: app.client_secret },
  auth: {
    tokenHost: app.issuer,
    tokenPath: "/oauth/token",
    authorizePath: "/oauth/authorize",
    revokePath: "/oauth/revoke",
  },
});
const verifier = randomBytes(32).toString("base64url");
const state = randomBytes(16).toString("base64url");
const url = flow.authorizeURL({
  redirect_uri: app.redirect_uri,
  scope: ["relay", "offline_access"],
  state,
  code_challenge: createHash("sha256").update(verifier).digest("base64url"),
  code_challenge_method: "S256",
});
const callback = (await open(url)).searchParams;
const first = await flow.getToken({
  code: callback.get("code"),
  redirect_uri: app.redirect_uri,
  code_verifier: verifier,
});
const model = await callModel(first.token.access_token);
const next = await first.refresh();
const refreshed = await callModel(next.token.access_token);
await next.revokeAll();
done({
  token_type: first.token.token_type,
  same_state: callback.get("state") === state,
  model,
  refreshed,
  rotated: next.token.refresh_token !== first.token.refresh_token,
  after_revocation: await callRevoked(next.token.access_token),
});
