"""A person's browser at the pages of a running suite: signs in, decides, and goes where the app sent it."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from common.kit.ids import uuid7
from e2e.suite import Operator, Person

PASSWORD = "correct horse battery staple"
_MAX_STEPS = 12


class _Page(HTMLParser):
    """The last form of a page and its links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.links: list[str] = []
        self._select = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(said.get("href", ""))
        elif tag == "form":
            self.action, self.fields = said["action"], {}
        elif tag == "input" and "name" in said:
            self.fields[said["name"]] = said.get("value", "")
        elif tag == "select":
            self._select = said["name"]
        elif tag == "option" and ("selected" in said or self._select not in self.fields):
            self.fields[self._select] = said["value"]


@dataclass
class Browser:
    """One person with a browser of their own, who lets apps do what they ask within `terms`."""

    operator: Operator
    person: Person
    terms: dict[str, str] = field(default_factory=lambda: {"limit": "5", "period": "month"})

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.operator.url, timeout=30)
        user = f"/api/users/{self.person.user}"
        self.operator.admin.patch(user, json={"password": PASSWORD}).raise_for_status()

    def follow(self, url: str, decision: str = "allow") -> str:
        """The address outside this host where the pages lead from `url`; the person decides once."""
        answer = self.http.get(url)
        for _ in range(_MAX_STEPS):
            if answer.status_code in (302, 303):
                target = urljoin(str(answer.url), answer.headers["location"])
                if not self._is_ours(target):
                    return target
                answer = self.http.get(target)
                continue
            assert answer.status_code == 200, answer.text
            page = _Page(answer.text)
            if page.action == "/login":
                page.fields |= {"email": self.person.email, "password": PASSWORD}
            elif page.action:
                terms = {name: self.terms[name] for name in page.fields.keys() & self.terms.keys()}
                page.fields |= {"decision": decision} | terms
            else:
                return next(link for link in page.links if not self._is_ours(link))
            answer = self.http.post(page.action, data=page.fields)
        raise AssertionError("the pages lead nowhere")

    def allow_device(self, url: str) -> str:
        """The text of the page that says the device may go on, after the address with the code in it."""
        answer = self.http.get(url)
        for _ in range(_MAX_STEPS):
            if answer.status_code in (302, 303):
                answer = self.http.get(urljoin(str(answer.url), answer.headers["location"]))
                continue
            assert answer.status_code == 200, answer.text
            page = _Page(answer.text)
            if page.action == "/login":
                page.fields |= {"email": self.person.email, "password": PASSWORD}
            elif "allowed" in str(answer.url):
                return answer.text
            else:
                page.fields |= {"decision": "allow"}
            answer = self.http.post(page.action, data=page.fields)
        raise AssertionError("the pages lead nowhere")

    def _is_ours(self, url: str) -> bool:
        parts = urlsplit(url)
        return not parts.netloc or parts.netloc == urlsplit(self.operator.url).netloc


def register_app(person: Person, operator: Operator, **fields: Any) -> dict[str, Any]:
    """A new app of the person, with its `client_secret`."""
    body: dict[str, Any] = {
        "name": f"App {uuid7()[-6:]}",
        "redirect_uris": ["http://127.0.0.1:9999/callback"],
        "scopes": ["openid", "email", "relay", "charge", "offline_access"],
    }
    answer = httpx.post(
        f"{operator.url}/api/oauth/apps",
        json=body | fields,
        headers={"authorization": f"Bearer {person.key}"},
        timeout=10,
    )
    assert answer.status_code == 201, answer.text
    app: dict[str, Any] = answer.json()
    return app
