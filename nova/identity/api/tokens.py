# SPDX-License-Identifier: Apache-2.0
"""``/v3/auth``: tokens, and where their owner may go."""

from __future__ import annotations

import falcon

from nova.errors import Forbidden, NotFound, Unauthorized
from nova.identity.api.projects import answer_projects
from nova.identity.api.request import Face, answer, link, read_object
from nova.identity.api.views import token_view
from nova.identity.catalog import catalog_v3
from nova.identity.fields import member
from nova.identity.policy import Target, require
from nova.identity.validation import ValidatedToken


class TokenResource(Face):
    """``/v3/auth/tokens``: X-Auth-Token says who calls, X-Subject-Token what it is about."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Log in."""
        auth = member(read_object(req), "auth")
        issued = self.service.authentication.authenticate(auth)
        self._answer(req, resp, issued, 201)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Validate a token; 404 for one that is not valid."""
        self._answer(req, resp, self._subject(req, "identity:validate_token"), 200)

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Revoke a token."""
        self.service.revoke(self._subject(req, "identity:revoke_token"))
        resp.status = 204

    def _subject(self, req: falcon.Request, rule: str) -> ValidatedToken:
        caller = self.caller(req)
        token = req.get_header("X-Subject-Token")
        try:
            if not token:
                raise Unauthorized()
            subject = self.service.validate(token)
        except Unauthorized:
            shown = (token or "")[:64]
            raise NotFound(f"Could not find token: {shown}.") from None
        require(caller, rule, Target(user_id=subject.user.id))
        return subject

    def _answer(
        self, req: falcon.Request, resp: falcon.Response, token: ValidatedToken, status: int
    ) -> None:
        body = token_view(
            token, self.service.reference.get(), with_catalog="nocatalog" not in req.params
        )
        answer(resp, body, status)
        resp.set_header("X-Subject-Token", token.token)


class AuthCatalogResource(Face):
    """``/v3/auth/catalog``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The catalogue as the caller's token has it."""
        caller = self.caller(req)
        if caller.project is None:
            raise Forbidden("A project-scoped token is required to produce a service catalog.")
        shown = catalog_v3(self.service.reference.get(), caller.user.id, caller.project.id)
        links = {"self": link(req, "auth", "catalog"), "previous": None, "next": None}
        answer(resp, {"catalog": shown, "links": links})


class AuthProjectsResource(Face):
    """``/v3/auth/projects``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The projects that the caller may have a token for."""
        caller = self.caller(req)
        found = self.service.assignments.projects_of_user(caller.user.id)
        answer_projects(self, req, resp, "projects", found)


class AuthDomainsResource(Face):
    """``/v3/auth/domains``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The domains that the caller may have a token for."""
        caller = self.caller(req)
        found = self.service.assignments.domains_of_user(caller.user.id)
        answer_projects(self, req, resp, "domains", found)


class AuthSystemResource(Face):
    """``/v3/auth/system``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Whether the caller may have a token for the system."""
        caller = self.caller(req)
        may = self.service.assignments.has_system_role(caller.user.id)
        body = {
            "system": [{"all": True}] if may else [],
            "links": {"self": link(req, "auth", "system")},
        }
        answer(resp, body)
