"""The page that shows a code to be copied."""

import msgspec

from oauth.routes.pages import Pages
from oauth.routes.pages.words import Language

PAGES = Pages(__name__)


class CopyWords(msgspec.Struct, frozen=True):
    """What it says, in one language."""

    language: Language
    title: str
    lead: str
    warning: str


_ENGLISH = CopyWords(
    language="en",
    title="Your code",
    lead="Copy this code into the app that asked for it. It works once, for 10 minutes.",
    warning="Give it to nobody else: with it the app can spend what you have just allowed.",
)
_CHINESE = CopyWords(
    language="zh",
    title="您的授权码",
    lead="请将此代码复制到请求授权的应用中。代码仅可使用一次，10 分钟内有效。",
    warning="请勿提供给任何其他人：持有此代码的应用可以使用您刚才授权的额度。",
)


def copy_words(language: Language) -> CopyWords:
    """The words of a language."""
    return _CHINESE if language == "zh" else _ENGLISH
