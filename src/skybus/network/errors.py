"""How Neutron says no: an HTTP status and the name of an exception class, which client libraries look at."""

from __future__ import annotations

from collections.abc import Sequence

from skybus.errors import BadRequest, CloudError, Conflict, Forbidden, NotFound, QuotaExceeded, Unavailable
from skybus.http import bodies

_NAMES = {
    400: "HTTPBadRequest",
    401: "HTTPUnauthorized",
    403: "PolicyNotAuthorized",
    404: "HTTPNotFound",
    405: "HTTPMethodNotAllowed",
    409: "HTTPConflict",
    413: "HTTPRequestEntityTooLarge",
    415: "HTTPUnsupportedMediaType",
    501: "HTTPNotImplemented",
    503: "HTTPServiceUnavailable",
}
"""What an error is called that has no Neutron name of its own."""


class OverQuota(QuotaExceeded):
    """Neutron answers 409 where the others answer 403."""

    status, title = 409, "Conflict"


class NotImplementedHere(CloudError):
    """The call exists in the API and not in this cloud."""

    code, status, title = "request.not-implemented", 501, "Not Implemented"


def error_body(error: CloudError, request_id: str) -> tuple[bytes, str]:
    """Neutron's body for `error`, with the exception class that Neutron would name."""
    kind = error.details.get("type") or _NAMES.get(error.status, "HTTPInternalServerError")
    named = CloudError(error.reason, type=kind)
    return bodies.network(named, request_id)


def network_not_found(network_id: str) -> NotFound:
    """404."""
    return NotFound(f"Network {network_id} could not be found.", type="NetworkNotFound")


def subnet_not_found(subnet_id: str) -> NotFound:
    """404."""
    return NotFound(f"Subnet {subnet_id} could not be found.", type="SubnetNotFound")


def port_not_found(port_id: str) -> NotFound:
    """404."""
    return NotFound(f"Port {port_id} could not be found.", type="PortNotFound")


def group_not_found(group_id: str) -> NotFound:
    """404."""
    return NotFound(f"Security group {group_id} does not exist", type="SecurityGroupNotFound")


def invalid(reason: str) -> BadRequest:
    """400: `reason` says what is wrong, without a full stop."""
    return BadRequest(f"Invalid input for operation: {reason}.", type="InvalidInput")


def forbidden(reason: str) -> Forbidden:
    """403."""
    return Forbidden(reason, type="Forbidden")


def network_in_use(network_id: str) -> Conflict:
    """409."""
    return Conflict(
        f"Unable to complete operation on network {network_id}. There are one or more ports still in use on the "
        "network.",
        type="NetworkInUse",
    )


def subnet_in_use(subnet_id: str) -> Conflict:
    """409."""
    return Conflict(
        f"Unable to complete operation on subnet {subnet_id}: One or more ports have an IP allocation from this "
        "subnet.",
        type="SubnetInUse",
    )


def port_in_use(port_id: str, network_id: str, device_id: str) -> Conflict:
    """409: a server has the port."""
    return Conflict(
        f"Unable to complete operation on port {port_id} for network {network_id}. Port already has an attached "
        f"device {device_id}.",
        type="PortInUse",
    )


def service_port_in_use(port_id: str, reason: str) -> Conflict:
    """409: the port is another service's to delete."""
    return Conflict(f"Port {port_id} cannot be deleted directly via the port API: {reason}.", type="ServicePortInUse")


def group_in_use(group_id: str) -> Conflict:
    """409: a port has the security group."""
    return Conflict(f"Security Group {group_id} in use.", type="SecurityGroupInUse")


def address_in_use(network_id: str, address: str) -> Conflict:
    """409."""
    return Conflict(
        f"Unable to complete operation for network {network_id}. The IP address {address} is in use.",
        type="IpAddressInUse",
    )


def no_more_addresses(network_id: str) -> Conflict:
    """409."""
    return Conflict(f"No more IP addresses available on network {network_id}.", type="IpAddressGenerationFailure")


def mac_in_use(network_id: str, mac: str) -> Conflict:
    """409."""
    return Conflict(
        f"Unable to complete operation for network {network_id}. The mac address {mac} is in use.",
        type="MacAddressInUse",
    )


def over_quota(resources: Sequence[str]) -> OverQuota:
    """409."""
    return OverQuota(f"Quota exceeded for resources: {list(resources)}.", type="OverQuota")


def no_network_available() -> Unavailable:
    """503: the range of segment numbers is used up."""
    return Unavailable(
        "Unable to create the network. No tenant network is available for allocation.", type="NoNetworkAvailable"
    )
