# SPDX-License-Identifier: Apache-2.0
"""The one exception tree. Each error knows its HTTP status and its EC2 code, once, here.

A message is written for the person who made the request: it names the field or the thing, and says
what would be right. Anything that is not a ``NovaError`` is our own bug and becomes a 500.
"""

from __future__ import annotations

from typing import ClassVar


class NovaError(Exception):
    """Base of every error that a user may see.

    ``message`` is the text shown; ``status`` the HTTP status; ``ec2_code`` the code of the EC2 API
    (AWS "Error codes for the Amazon EC2 API").
    """

    status: ClassVar[int] = 500
    ec2_code: ClassVar[str] = "InternalError"
    #: Headers that every answer for this error carries.
    headers: dict[str, str] = {}
    #: The error's type in the network API, where its class does not say enough.
    network_type: str | None = None

    def __init__(self, message: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").splitlines()[0]
        super().__init__(self.message)


class BadRequest(NovaError):
    """The request could not be understood."""

    status = 400
    ec2_code = "InvalidParameterValue"


class InvalidInput(BadRequest):
    """A field of the request has a wrong value; the message names the field."""

    def __init__(self, field: str, reason: str, value: object = ...) -> None:
        shown = "" if value is ... else f" Value: {str(value)[:120]}."
        super().__init__(f"Invalid input for field/attribute {field}.{shown} {reason}")
        self.field = field


class ConsoleTypeUnavailable(BadRequest):
    """The guest has no console of this type."""

    def __init__(self, console_type: str) -> None:
        super().__init__(f"Unavailable console type {console_type}.")


class Unauthorized(NovaError):
    """The request you have made requires authentication."""

    status = 401
    ec2_code = "AuthFailure"


class Forbidden(NovaError):
    """You are not allowed to do this."""

    status = 403
    ec2_code = "AuthFailure"


class PolicyRefused(Forbidden):
    """The policy does not allow this."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"Policy doesn't allow {rule} to be performed.")
        self.rule = rule


class QuotaExceeded(Forbidden):
    """Quota exceeded."""

    ec2_code = "ResourceLimitExceeded"


class NotFound(NovaError):
    """The thing you asked for is not there."""

    status = 404
    ec2_code = "InvalidParameterValue"


class InstanceNotFound(NotFound):
    """Instance could not be found."""

    ec2_code = "InvalidInstanceID.NotFound"

    def __init__(self, uuid: str) -> None:
        super().__init__(f"Instance {uuid} could not be found.")


class FlavorNotFound(NotFound):
    """Flavor could not be found."""

    def __init__(self, flavor: str) -> None:
        super().__init__(f"Flavor {flavor} could not be found.")


class ImageNotFound(NotFound):
    """Image could not be found."""

    ec2_code = "InvalidAMIID.NotFound"

    def __init__(self, image: str) -> None:
        super().__init__(f"Image {image} could not be found.")


class KeypairNotFound(NotFound):
    """Keypair not found."""

    ec2_code = "InvalidKeyPair.NotFound"

    def __init__(self, name: str, user_id: str) -> None:
        super().__init__(f"Keypair {name} not found for user {user_id}")


class NetworkNotFound(NotFound):
    """Network could not be found."""

    def __init__(self, network: str) -> None:
        super().__init__(f"Network {network} could not be found.")


class VolumeNotFound(NotFound):
    """Volume could not be found."""

    ec2_code = "InvalidVolume.NotFound"

    def __init__(self, volume: str) -> None:
        super().__init__(f"Volume {volume} could not be found.")


class VolumeSnapshotNotFound(NotFound):
    """Snapshot could not be found."""

    ec2_code = "InvalidSnapshot.NotFound"

    def __init__(self, snapshot: str) -> None:
        super().__init__(f"Snapshot {snapshot} could not be found.")


class VolumeAttachmentNotFound(NotFound):
    """Volume attachment could not be found."""

    ec2_code = "InvalidAttachment.NotFound"

    def __init__(self, attachment: str) -> None:
        super().__init__(f"Volume attachment {attachment} could not be found.")


class InvalidVolume(BadRequest):
    """The volume's state does not allow this."""

    ec2_code = "IncorrectState"

    def __init__(self, reason: str) -> None:
        super().__init__(f"Invalid volume: {reason}")


class InvalidSnapshot(BadRequest):
    """The volume snapshot's state does not allow this."""

    ec2_code = "IncorrectState"

    def __init__(self, reason: str) -> None:
        super().__init__(f"Invalid snapshot: {reason}")


class MethodNotAllowed(NovaError):
    """The method is not allowed for this resource."""

    status = 405

    def __init__(self, allowed: list[str]) -> None:
        super().__init__("The method specified is not allowed for this resource.")
        self.headers = {"Allow": ", ".join(allowed)}


class NotAcceptable(NovaError):
    """The version asked for is not spoken here."""

    status = 406


class Conflict(NovaError):
    """The request conflicts with the present state."""

    status = 409
    ec2_code = "IncorrectState"


class InstanceInvalidState(Conflict):
    """The instance's state does not allow this action."""

    ec2_code = "IncorrectInstanceState"

    def __init__(self, action: str, uuid: str, attribute: str, state: object) -> None:
        super().__init__(
            f"Cannot '{action}' instance {uuid} while it is in {attribute} {state}"
        )
        self.attribute = attribute
        self.state = state


class InstanceLocked(Conflict):
    """Instance is locked."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"Instance {uuid} is locked")


class AlreadyExists(Conflict):
    """It is there already."""

    ec2_code = "InvalidParameterValue"


class KeypairExists(AlreadyExists):
    """A key pair of that name exists."""

    ec2_code = "InvalidKeyPair.Duplicate"

    def __init__(self, name: str) -> None:
        super().__init__(f"Key pair '{name}' already exists.")


class NetworkAmbiguous(Conflict):
    """More than one network is possible; name one or more by uuid."""


class NoMoreAddresses(Conflict):
    """No free address is left in the network."""

    ec2_code = "UnsupportedOperation"


class AddressInUse(BadRequest):
    """The address is in use already, or kept for something else."""

    def __init__(self, address: str, *, kept_for: str | None = None) -> None:
        why = f"kept for {kept_for}" if kept_for else "already in use"
        super().__init__(f"Fixed IP address {address} is {why}.")


class MacInUse(Conflict):
    """The MAC address is in use already."""

    network_type = "MacAddressInUse"

    def __init__(self, mac: str) -> None:
        super().__init__(f"MAC address {mac} is in use.")


class Gone(NovaError):
    """This resource is no longer available. No forwarding address is given."""

    status = 410


class PreconditionFailed(NovaError):
    """What the request was made for is not there as it expected."""

    status = 412


class TooLarge(NovaError):
    """The request body is too large."""

    status = 413


class UnsupportedMediaType(NovaError):
    """Unsupported Content-Type."""

    status = 415


class RangeNotSatisfiable(NovaError):
    """The range asked for lies outside the data."""

    status = 416


class NotImplementedByDriver(NovaError):
    """The virt driver does not support this."""

    status = 501
    ec2_code = "UnsupportedOperation"


class ServiceUnavailable(NovaError):
    """The service is not available now; try again."""

    status = 503
    ec2_code = "Unavailable"


# --- errors that the flows raise among themselves; the user meets them as an instance's fault -------


class DatabaseBusy(ServiceUnavailable):
    """The database gave way to another request that wrote the same rows; try again."""


class DatabaseAway(ServiceUnavailable):
    """The database cannot be reached now; try again."""


class NoValidHost(NovaError):
    """No valid host was found."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"No valid host was found. {reason}")


class ClaimRefused(NovaError):
    """The host has no room left for this claim."""


class StateChanged(Conflict):
    """The row was changed by somebody else in between."""


class HostRefused(Forbidden):
    """A host asked for something that is not its own."""


class MessageRepeated(HostRefused):
    """A host's message was acted on before."""


class VirtError(NovaError):
    """The hypervisor failed."""


class NetworkNotReady(VirtError):
    """A host's network is not (yet) what a guest needs."""


class GuestNotFound(VirtError):
    """The guest is not on this host."""
