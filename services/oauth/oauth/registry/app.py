"""The composition root of registry."""

from oauth.parts import Feature, Parts
from oauth.registry.routes.apps import AppController
from oauth.registry.usecases.apps import Registrar


async def open_registry(parts: Parts) -> None:
    """Make the parts."""
    parts.state.registrar = Registrar(
        parts.store, parts.digester, parts.clock, parts.settings.management_tokens
    )


REGISTRY = Feature(controllers=(AppController,), names=("registrar",), open=open_registry)
