// npm oidc-provider with one app, as strict as it can be set: what another implementation answers.
import Provider from "oidc-provider";
import { app, done } from "./person.mjs";

const provider = new Provider(app.issuer, {
  clients: [
    {
      client_id: app.client_id,
      client_secret: app.client_secret,
      redirect_uris: [app.redirect_uri],
      grant_types: [
        "authorization_code",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:device_code",
      ],
      token_endpoint_auth_method: "client_secret_basic",
    },
  ],
  scopes: ["openid", "offline_access", "email"],
  pkce: { required: () => true },
  features: {
    deviceFlow: { enabled: true },
    dPoP: { enabled: true },
    introspection: { enabled: true },
    pushedAuthorizationRequests: { enabled: true },
    revocation: { enabled: true },
  },
});
const { hostname, port } = new URL(app.issuer);
provider.listen(Number(port), hostname, () => console.log(JSON.stringify({ ready: app.issuer })));
process.stdin.on("end", () => done({}));
process.stdin.resume();
