# SPDX-License-Identifier: Apache-2.0
"""Checks the tokens of the other faces against the identity service in the same process."""

from __future__ import annotations

from nova.errors import Unauthorized
from nova.identity.service import IdentityService
from nova.objects.context import RequestContext


class LocalAuthenticator:
    """An ``Authenticator`` (see ``nova.http.auth``) without a request to another process."""

    def __init__(self, service: IdentityService) -> None:
        self._cache = service.validator.cache
        self._validate = service.validate

    def authenticate(self, token: str) -> RequestContext:
        """The caller that ``token`` stands for; raises ``Unauthorized`` where it is not valid.

        A token of an application credential with access rules is refused: which request it is for
        is not known here, and without that the rules could not be kept.
        """
        found = self._cache.get(token) or self._validate(token)
        bound = found.application_credential
        if bound is not None and bound.access_rules:
            raise Unauthorized()
        return found.context
