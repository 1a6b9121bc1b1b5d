"""The consent page: its template and its words."""

from oauth.authorization.routes.pages.words import ConsentWords, consent_words
from oauth.routes.pages import Pages

PAGES = Pages(__name__)

__all__ = ("PAGES", "ConsentWords", "consent_words")
