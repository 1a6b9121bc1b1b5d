// A public app of a browser or laptop as arctic does it: PKCE and no secret.
import * as arctic from "arctic";
import { app, callModel, callRevoked, done, open } from "./person.mjs";

const client = new arctic.OAuth2Client(app.client_id, null, app.redirect_uri);
const state = arctic.generateState();
const verifier = arctic.generateCodeVerifier();
const scopes = ["relay", "offline_access"];
const url = client.createAuthorizationURLWithPKCE(
  `${app.issuer}/oauth/authorize`,
  state,
  arctic.CodeChallengeMethod.S256,
  verifier,
  scopes,
);
const callback = (await open(url)).searchParams;
const endpoint = `${app.issuer}/oauth/token`;
const tokens = await client.validateAuthorizationCode(endpoint, callback.get("code"), verifier);
const next = await client.refreshAccessToken(endpoint, tokens.refreshToken(), []);
const model = await callModel(next.accessToken());
await client.revokeToken(`${app.issuer}/oauth/revoke`, next.accessToken());
done({
  token_type: tokens.tokenType(),
  same_state: callback.get("state") === state,
  model,
  rotated: next.refreshToken() !== tokens.refreshToken(),
  after_revocation: await callRevoked(next.accessToken()),
});
