# SPDX-License-Identifier: Apache-2.0
"""How the faces learn who is calling: a token, checked by whichever identity service is configured."""

from __future__ import annotations

from typing import Protocol

import falcon
import msgspec

from nova.errors import Unauthorized
from nova.log import belongs_to
from nova.objects.context import RequestContext


class Authenticator(Protocol):
    """Checks tokens. The built-in identity service and an external Keystone both provide one."""

    def authenticate(self, token: str) -> RequestContext:
        """The caller that ``token`` stands for; raises ``Unauthorized`` where it is not valid."""
        ...


class TokenMiddleware:
    """Puts a ``RequestContext`` on every request, or answers 401.

    Paths in ``public`` (discovery) pass without a token.
    """

    def __init__(
        self, authenticator: Authenticator, identity_url: str, public: frozenset[str]
    ) -> None:
        self._authenticator = authenticator
        self._challenge = f"Keystone uri='{identity_url}'"
        self._public = public

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Authenticate."""
        token = req.get_header("X-Auth-Token")
        if token is None:
            if req.path.rstrip("/") in self._public:
                return
            raise self._refusal()
        try:
            caller = self._authenticator.authenticate(token)
        except Unauthorized:
            if req.path.rstrip("/") in self._public:
                return
            raise self._refusal() from None
        request_id = req.context.request_id
        belongs_to(request_id, caller.user_id, caller.project_id)
        req.context.caller = msgspec.structs.replace(caller, request_id=request_id)

    def _refusal(self) -> Unauthorized:
        error = Unauthorized("The request you have made requires authentication.")
        error.headers = {"WWW-Authenticate": self._challenge}
        return error
