# SPDX-License-Identifier: Apache-2.0
"""Tickets for image data: a compute host shows one in place of a token, for one image, for some minutes.

The conductor issues them to the host that an operation is at; the image service honours them. Both know
the control side's key, hosts do not. A ticket names the image, what may be done (read the data, or store
them once) and on whose behalf, and is authenticated by HMAC-SHA256.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from nova.decoding import msgpack_decoder
from nova.errors import Unauthorized
from nova.objects.context import RequestContext

if TYPE_CHECKING:
    import falcon

#: The header that a ticket comes in.
HEADER = "X-Image-Ticket"
#: How long a ticket is good, seconds: a transfer has to begin within.
LIFETIME = 900.0


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """What a ticket says. ``expires`` is in seconds since the epoch."""

    use: Literal["read", "store"]
    image_id: str
    user_id: str
    project_id: str
    request_id: str
    expires: float


_decode = msgpack_decoder(Ticket).decode


class ImageTickets:
    """Issues and checks tickets. ``secret`` is the control side's key."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"nova image tickets", hashlib.sha256)

    def issue(
        self, use: Literal["read", "store"], image_id: str, user_id: str, project_id: str, request_id: str
    ) -> str:
        """A ticket's text."""
        body = msgspec.msgpack.encode(
            Ticket(use, image_id, user_id, project_id, request_id, time.time() + LIFETIME)
        )
        return base64.urlsafe_b64encode(hmac.digest(self._key, body, hashlib.sha256) + body).decode()

    def check(self, text: str) -> Ticket:
        """What a ticket says; raises ``Unauthorized`` for one that is not ours or too old."""
        try:
            raw = base64.urlsafe_b64decode(text.encode())
            proof, body = raw[:32], raw[32:]
            if not hmac.compare_digest(proof, hmac.digest(self._key, body, hashlib.sha256)):
                raise Unauthorized("The image ticket is not valid.")
            ticket = _decode(body)
        except (binascii.Error, ValueError, msgspec.DecodeError):
            raise Unauthorized("The image ticket is not valid.") from None
        if ticket.expires < time.time():
            raise Unauthorized("The image ticket is too old.")
        return ticket


class Tokens(Protocol):
    """What decides on requests without a ticket."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Authenticate, or raise."""
        ...


class TicketMiddleware:
    """Takes a ticket for a token, where it is for just this request; all else goes on to the tokens."""

    def __init__(self, tickets: ImageTickets, tokens: Tokens) -> None:
        self._tickets = tickets
        self._tokens = tokens

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Authenticate."""
        text = req.get_header(HEADER)
        if text is None:
            self._tokens.process_request(req, resp)
            return
        ticket = self._tickets.check(text)
        method = "GET" if ticket.use == "read" else "PUT"
        if req.method != method or req.path != f"/v2/images/{ticket.image_id}/file":
            raise Unauthorized("The image ticket is for another request.")
        reads = ticket.use == "read"
        req.context.caller = RequestContext(
            user_id=ticket.user_id, project_id=ticket.project_id,
            roles=("admin", "service") if reads else ("member", "reader"), is_admin=reads,
            request_id=req.context.request_id,
        )
