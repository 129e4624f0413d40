"""One module for each kind of operation; each has `saga(cloud)`, and reads as a list of steps with their way back."""

from __future__ import annotations

from collections.abc import Mapping

from skybus.saga.saga import Saga
from skybus_conductor.cloud import Cloud
from skybus_conductor.sagas import (
    network_refresh,
    server_console,
    server_create,
    server_delete,
    server_reboot,
    server_refresh,
    server_start,
    server_stop,
    volume_attach,
    volume_create,
    volume_delete,
    volume_detach,
)

MODULES = (
    server_create,
    server_delete,
    server_start,
    server_stop,
    server_reboot,
    server_console,
    server_refresh,
    network_refresh,
    volume_create,
    volume_delete,
    volume_attach,
    volume_detach,
)


def sagas(cloud: Cloud) -> Mapping[str, Saga]:
    """Every saga, by the kind of operation that it carries out."""
    made = [module.saga(cloud) for module in MODULES]
    return {saga.kind: saga for saga in made}
