// Discovery, PAR, PKCE, DPoP, ID token, userinfo, refresh, introspection and revocation by oauth4webapi.
import * as oauth from "oauth4webapi";
import { app, callModel, done, open } from "./person.mjs";

const insecure = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(app.issuer);
const found = await oauth.discoveryRequest(issuer, insecure);
const server = await oauth.processDiscoveryResponse(issuer, found);
const client = { client_id: app.client_id };
const auth = oauth.ClientSecretPost(app.client_secret);
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair("ES256"));

const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const nonce = oauth.generateRandomNonce();
const parameters = new URLSearchParams({
  response_type: "code",
  redirect_uri: app.redirect_uri,
  scope: "openid email relay offline_access",
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  state,
  nonce,
});
const pushed = await oauth.processPushedAuthorizationResponse(
  server,
  client,
  await oauth.pushedAuthorizationRequest(server, client, auth, parameters, { DPoP, ...insecure }),
);
const url = new URL(server.authorization_endpoint);
url.searchParams.set("client_id", client.client_id);
url.searchParams.set("request_uri", pushed.request_uri);
const callback = oauth.validateAuthResponse(server, client, await open(url), state);

const tokens = await oauth.processAuthorizationCodeResponse(
  server,
  client,
  await oauth.authorizationCodeGrantRequest(server, client, auth, callback, app.redirect_uri, verifier, {
    DPoP,
    ...insecure,
  }),
  { expectedNonce: nonce, requireIdToken: true },
);
const claims = oauth.getValidatedIdTokenClaims(tokens);
const person = await oauth.processUserInfoResponse(
  server,
  client,
  claims.sub,
  await oauth.userInfoRequest(server, client, tokens.access_token, { DPoP, ...insecure }),
);
const model = await oauth.protectedResourceRequest(
  tokens.access_token,
  "GET",
  new URL(`${app.issuer}/v1/models`),
  undefined,
  undefined,
  { DPoP, ...insecure },
);
const asBearer = await callModel(tokens.access_token);
const next = await oauth.processRefreshTokenResponse(
  server,
  client,
  await oauth.refreshTokenGrantRequest(server, client, auth, tokens.refresh_token, { DPoP, ...insecure }),
);
const introspect = async () =>
  oauth.processIntrospectionResponse(
    server,
    client,
    await oauth.introspectionRequest(server, client, auth, next.access_token, insecure),
  );
const live = await introspect();
await oauth.processRevocationResponse(
  await oauth.revocationRequest(server, client, auth, next.refresh_token, insecure),
);
const dead = await introspect();
done({
  token_type: tokens.token_type,
  email: person.email,
  model: model.status,
  as_bearer: asBearer,
  rotated: next.refresh_token !== tokens.refresh_token,
  bound: Boolean(live.cnf?.jkt),
  live: live.active,
  dead: dead.active,
});
