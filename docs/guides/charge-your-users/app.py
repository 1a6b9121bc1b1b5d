"""A complete third-party app: it signs a person in, calls a model on their balance, charges them, refunds.

    TOLLWAY_URL=http://127.0.0.1:8080 CLIENT_ID=app_… CLIENT_SECRET=tos_… python app.py

Needs httpx, and an app registered with the scopes `relay charge` and http://127.0.0.1/callback.
"""

import base64
import hashlib
import os
import secrets
import sys
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

TOLLWAY = os.environ["TOLLWAY_URL"]
CLIENT = (os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
MODEL = os.environ.get("MODEL", "gpt-4o-mini")


class Callback(BaseHTTPRequestHandler):
    """Where the person's browser comes back to; a web app has a route instead."""

    def do_GET(self) -> None:
        """Keep what came with it."""
        path = urlsplit(self.path)
        found = path.path == "/callback"
        self.send_response(200 if found else 404)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.end_headers()
        if found:
            self.server.answer = {name: values[0] for name, values in parse_qs(path.query).items()}
            self.wfile.write(b"Done. You can close this page.")

    def log_message(self, *_: object) -> None:
        """Say nothing: the address has the code in it."""


def sign_in() -> dict[str, str]:
    """Tokens of a person who allowed it: authorization code with PKCE (RFC 6749, RFC 7636)."""
    server = HTTPServer(("127.0.0.1", 0), Callback)
    server.answer = {}
    redirect_uri = f"http://127.0.0.1:{server.server_port}/callback"
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    question = {
        "response_type": "code",
        "client_id": CLIENT[0],
        "redirect_uri": redirect_uri,
        "scope": "relay charge",
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    print(f"Open this page: {TOLLWAY}/oauth/authorize?{urlencode(question)}", flush=True)
    while not server.answer:
        server.handle_request()
    server.server_close()
    answer = server.answer
    if answer.get("state") != state or answer.get("iss") != TOLLWAY:  # not the answer to our question
        sys.exit("the answer is not from where we asked")
    if "code" not in answer:
        sys.exit(f"not allowed: {answer.get('error')}")
    form = {"grant_type": "authorization_code", "code": answer["code"], "redirect_uri": redirect_uri}
    reply = httpx.post(f"{TOLLWAY}/oauth/token", data=form | {"code_verifier": verifier}, auth=CLIENT)
    return checked(reply)


def checked(reply: httpx.Response) -> dict:
    """The JSON of a good answer; otherwise the end, with what the problem says."""
    if reply.is_error:
        sys.exit(f"{reply.status_code}: {reply.text}")
    return reply.json()


def main() -> None:
    """Sign in, ask a model, charge 0.05 USD for it, give it back."""
    token = sign_in()["access_token"]
    tollway = httpx.Client(base_url=TOLLWAY, headers={"authorization": f"Bearer {token}"}, timeout=60)

    # A model on the person's balance: any OpenAI SDK works with this token as its API key.
    question = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}]}
    told = checked(tollway.post("/v1/chat/completions", json=question))
    print("The model said:", told["choices"][0]["message"]["content"])

    # One key for each thing that is sold, stored before it is asked: a retry then never charges twice.
    key = {"idempotency-key": f"order-{uuid.uuid4()}"}
    order = {"amount": "0.05", "description": "One greeting", "reference": "order-1"}
    charge = checked(tollway.post("/oauth/v1/charges", json=order, headers=key))
    print(f"Charged {charge['amount']} USD, {charge['grant_remaining']} of the limit is left")

    key = {"idempotency-key": f"refund-{charge['id']}"}
    reason = {"reason": "It was only an example"}
    refund = checked(tollway.post(f"/oauth/v1/charges/{charge['id']}/refunds", json=reason, headers=key))
    print(f"Refunded {refund['amount']} USD ({refund['status']})")


if __name__ == "__main__":
    main()
