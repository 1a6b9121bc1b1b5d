"""The composition root of devices."""

from oauth.devices.adapters.postgres.devices import devices_in
from oauth.devices.domain.devices import GRANT_TYPE
from oauth.devices.routes.devices import DeviceAuthorizationController, DevicePageController
from oauth.devices.usecases.devices import KIND, DeviceFlow
from oauth.parts import Feature, Parts

_PRUNE_S = 3_600


async def open_devices(parts: Parts) -> None:
    """Make the parts; the token endpoint and the consent page learn of devices."""
    issuer = parts.settings.issuer
    flow = DeviceFlow(parts.store, devices_in, parts.digester, parts.clock, issuer)
    parts.state.device_flow = flow
    parts.grant_types[GRANT_TYPE] = flow.exchange
    parts.completions[KIND] = flow.complete
    parts.metadata["device_authorization_endpoint"] = f"{issuer}/oauth/device_authorization"
    parts.every(_PRUNE_S, flow.forget_old)


DEVICES = Feature(
    controllers=(DeviceAuthorizationController, DevicePageController),
    names=("device_flow",),
    open=open_devices,
)
