"""The page of a person's apps: its template and its words."""

from oauth.registry.routes.pages.words import ListWords, list_words
from oauth.routes.pages import Pages

PAGES = Pages(__name__)

__all__ = ("PAGES", "ListWords", "list_words")
