"""Questions to a running suite: the gateway's management API, with the operator's key."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

import httpx

from tollway.output import Output
from tollway.state import DEFAULT_DATA_DIR, DataDir

TIMEOUT_S = 60.0  # an audit reads the whole ledger
PAGE = 500

Params = Mapping[str, str | int]


class SessionError(Exception):
    """A question that cannot be asked or was refused; the message is one line fit for an operator."""


class Session:
    """The management API of one gateway, and where answers go.

    `local`: the gateway is on this machine, where a proxy named by the environment could not reach it.
    """

    def __init__(self, url: str, admin_key: str, output: Output, *, local: bool) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self.output = output
        headers = {"authorization": f"Bearer {admin_key}"}
        self._client = httpx.Client(
            base_url=self.url, headers=headers, timeout=TIMEOUT_S, trust_env=not local
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, params: Params | None = None) -> Any:
        """The JSON answer to GET; SessionError when refused."""
        return self._ask("GET", path, params=params)

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Params | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """The JSON answer to POST, PUT, PATCH or DELETE, None when it is empty; SessionError when refused."""
        return self._ask(method, path, json=body, headers=headers, timeout=timeout_s)

    def upload(self, path: str, content: BinaryIO, *, timeout_s: float = TIMEOUT_S) -> Any:
        """The JSON answer to POST of a file, sent as it is read; SessionError when refused."""
        headers = {"content-type": "application/octet-stream"}
        return self._ask("POST", path, content=content, headers=headers, timeout=timeout_s)

    def download(self, path: str, params: Params | None = None) -> Iterator[bytes]:
        """The body of GET as it comes; SessionError when refused, or when it ends before its end."""
        try:
            with self._client.stream("GET", path, params=params) as answer:
                if not answer.is_success:
                    answer.read()
                    raise SessionError(_refusal(answer))
                yield from answer.iter_bytes()
        except httpx.HTTPError as error:
            raise SessionError(f"{self.url} broke off: {error or type(error).__name__}") from None

    def pages(
        self, path: str, params: Params | None = None, limit: int | None = None, cursor: str = "after"
    ) -> list[dict[str, Any]]:
        """The first `limit` objects of a list, or all, page by page."""
        found: list[dict[str, Any]] = []
        asked = dict(params or {})
        while limit is None or len(found) < limit:
            asked["limit"] = PAGE if limit is None else min(PAGE, limit - len(found))
            page = self.get(path, asked)
            found += page["data"]
            if not page.get("next"):
                break
            asked[cursor] = page["next"]
        return found

    def user(self, email: str) -> dict[str, Any]:
        """The user with this e-mail, in any case; SessionError when there is none."""
        for user in self.pages("/api/users", {"email": email}):
            if user["email"].lower() == email.strip().lower():
                return user
        raise SessionError(f"there is no user {email}")

    def keys(self, email: str | None) -> list[dict[str, Any]]:
        """The keys of one user or of all, each with its owner's e-mail; SessionError on an unknown e-mail."""
        users = self.pages("/api/users") if email is None else [self.user(email)]
        emails = {user["id"]: user["email"] for user in users}
        found = self.pages("/api/keys", {} if email is None else {"user": users[0]["id"]})
        return [{"email": emails.get(key["user"]), **key} for key in found]

    def _ask(self, method: str, path: str, **request: Any) -> Any:
        try:
            answer = self._client.request(method, path, **request)
        except httpx.HTTPError as error:
            raise SessionError(f"{self.url} does not answer: {error or type(error).__name__}") from None
        if not answer.is_success:
            raise SessionError(_refusal(answer))
        try:
            return answer.json() if answer.content else None
        except ValueError:
            raise SessionError(f"{self.url} is no Tollway gateway: {path} answered no JSON") from None


def open_session(data_dir: Path | None, url: str, admin_key: str, output: Output) -> Session:
    """The suite of `data_dir` when given, else the one at `url`, else the one of the default directory.

    SessionError when it does not run or no key is at hand.
    """
    if url and data_dir is None:
        if not admin_key:
            raise SessionError(f"an operator's key is needed for {url}: --admin-key or TOLLWAY_ADMIN_KEY")
        return Session(url, admin_key, output, local=False)
    place = DataDir(data_dir or DEFAULT_DATA_DIR)
    try:
        state = place.read_state()
        if state is None:
            raise SessionError(f"the suite is not running on {place.path}; start it with `tollway up`")
        return Session(state.gateway, place.secret("admin_key"), output, local=True)
    except PermissionError as error:
        raise SessionError(f"{error.filename} belongs to another user") from None


def _refusal(answer: httpx.Response) -> str:
    """The problem document's own words (RFC 9457), or the status."""
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    error = problem.get("error")
    words = problem.get("detail") or (error.get("message") if isinstance(error, dict) else None)
    where = f" ({problem['param']})" if problem.get("param") else ""
    return f"{words or answer.reason_phrase}{where} [{answer.status_code}]"
