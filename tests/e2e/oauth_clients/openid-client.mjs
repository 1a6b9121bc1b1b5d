// The whole of OpenID Connect as openid-client does it, with PAR, and a charge limit asked for by RAR.
import * as client from "openid-client";
import { app, callModel, done, open } from "./person.mjs";

const options = { execute: [client.allowInsecureRequests] };
const auth = client.ClientSecretBasic(app.client_secret);
const config = await client.discovery(new URL(app.issuer), app.client_id, undefined, auth, options);
const pkceCodeVerifier = client.randomPKCECodeVerifier();
const expectedState = client.randomState();
const expectedNonce = client.randomNonce();
const details = [
  {
    type: "charge_user",
    currency: "USD",
    limit: { amount: "5.00", period: "month" },
    max_per_charge: "0.50",
  },
];
const url = await client.buildAuthorizationUrlWithPAR(config, {
  redirect_uri: app.redirect_uri,
  scope: "openid email charge relay offline_access",
  code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: "S256",
  state: expectedState,
  nonce: expectedNonce,
  authorization_details: JSON.stringify(details),
});
const callback = await open(url);
const checks = { pkceCodeVerifier, expectedState, expectedNonce };
const tokens = await client.authorizationCodeGrant(config, callback, checks);
const person = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
const model = await callModel(tokens.access_token);
const next = await client.refreshTokenGrant(config, tokens.refresh_token);
const live = await client.tokenIntrospection(config, next.access_token);
await client.tokenRevocation(config, next.access_token);
const dead = await client.tokenIntrospection(config, next.access_token);
done({
  token_type: tokens.token_type,
  email: person.email,
  model,
  details: tokens.authorization_details.map((detail) => detail.type),
  limit: tokens.authorization_details[0].limit.amount,
  rotated: next.refresh_token !== tokens.refresh_token,
  live: live.active,
  dead: dead.active,
});
