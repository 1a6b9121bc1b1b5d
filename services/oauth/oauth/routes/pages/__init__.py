"""Pages of this service: server-rendered, without script, in English and Chinese, in the gateway's look.

A feature makes its own `Pages(__name__)` beside its templates, which extend `frame.html`.
"""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from litestar import Response
from litestar.enums import MediaType
from markupsafe import Markup

from oauth.routes.pages.words import Language, common_words

_STYLE = Markup((files(__name__) / "style.css").read_text(encoding="utf-8"))  # noqa: S704  our own file
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def page_headers(form_targets: Sequence[str] = ()) -> dict[str, str]:
    """What every page is sent with; `form_targets` are CSP sources its forms may lead to besides this host.

    CSP level 3: nothing but our own style; nobody may frame the page (RFC 9700 section 4.16). The referrer
    stays on this host, as Origin must.
    """
    targets = " ".join(("'self'", *form_targets))
    return {
        "content-security-policy": (
            f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {targets}; base-uri 'none';"
            " frame-ancestors 'none'"
        ),
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "cache-control": "no-store",
    }


class Pages:
    """Templates of `package` and those shared by all."""

    def __init__(self, package: str) -> None:
        self._environment = Environment(
            loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader(__name__, ".")]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(
        self,
        template: str,
        language: Language,
        status: int = 200,
        *,
        form_targets: Sequence[str] = (),
        **values: object,
    ) -> Response[str]:
        """The page with its headers; the template sees `values`, and the shared words as `common`."""
        common = common_words(language)
        body = self._environment.get_template(template).render(common=common, style=_STYLE, **values)
        headers = page_headers(form_targets)
        return Response(body, status_code=status, media_type=MediaType.HTML, headers=headers)


PAGES = Pages(__name__)
