"""Pages of the gateway: server-rendered, without script, in English and Chinese."""

import base64
import hashlib
from importlib.resources import files

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Response
from litestar.enums import MediaType

_STYLE = (files(__name__) / "style.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    # CSP level 3: nothing but our own style and forms that go to ourselves; nobody may frame the page.
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}
_PAGES = Environment(
    loader=PackageLoader(__package__ or __name__, "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Words(msgspec.Struct, frozen=True):
    """What the page says, in one language."""

    lang: str
    title: str
    email: str
    password: str
    sign_in: str
    signed_in: str
    sign_out: str
    wrong: str
    too_many: str
    stale: str


ENGLISH = Words(
    lang="en",
    title="Sign in",
    email="E-mail address",
    password="Password",  # noqa: S106  a label
    sign_in="Sign in",
    signed_in="You are signed in",
    sign_out="Sign out",
    wrong="Wrong e-mail address or password.",
    too_many="Too many attempts. Try again in {seconds} s.",
    stale="The page was open too long. Please try again.",
)
CHINESE = Words(
    lang="zh",
    title="登录",
    email="邮箱地址",
    password="密码",  # noqa: S106  a label
    sign_in="登录",
    signed_in="您已登录",
    sign_out="退出登录",
    wrong="邮箱地址或密码不正确。",
    too_many="尝试次数过多，请在 {seconds} 秒后重试。",
    stale="页面已过期，请重试。",
)


def words_for(accept_language: str) -> Words:
    """The first of the two languages that the browser names (RFC 9110 section 12.5.4), English by default."""
    for part in accept_language.split(","):
        tag = part.partition(";")[0].strip().lower()
        if tag.startswith("zh"):
            return CHINESE
        if tag.startswith("en"):
            return ENGLISH
    return ENGLISH


def render(name: str, status: int, words: Words, **values: object) -> Response[str]:
    """The page with the headers that every page has."""
    body = _PAGES.get_template(name).render(words=words, style=_STYLE, **values)
    return Response(body, status_code=status, media_type=MediaType.HTML, headers=HEADERS)
