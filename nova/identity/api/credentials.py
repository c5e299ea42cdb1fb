# SPDX-License-Identifier: Apache-2.0
"""EC2 keys, EC2 signatures, application credentials and their access rules."""

from __future__ import annotations

import falcon

from nova.errors import Forbidden, InvalidInput, NotFound, Unauthorized
from nova.identity.api.collections import refuse_delegated
from nova.identity.api.request import (
    Face,
    answer,
    filters_of,
    known_or_refused,
    list_links,
    page_of,
    read_object,
)
from nova.identity.api.views import (
    access_rule_view,
    application_credential_view,
    ec2_view,
    token_view,
)
from nova.identity.credentials import Ec2Key
from nova.identity.ec2 import read_signed_request
from nova.identity.fields import member
from nova.identity.policy import Target, require
from nova.identity.signatures import SignedRequest
from nova.identity.validation import ValidatedToken
from nova.objects.identity import ApplicationCredential


class Ec2KeysResource(Face):
    """``/v3/users/{user_id}/credentials/OS-EC2`` and each key below it."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """List a user's keys."""
        caller = self.allow(req, "ec2_list_credentials", Target(user_id=user_id))
        bound = caller.application_credential
        keys = [
            key
            for key in self.service.credentials.ec2_keys(user_id)
            if bound is None or bound.project_id == key.project_id
        ]
        body = {
            "credentials": [ec2_view(req, key) for key in keys],
            "links": list_links(req, page_of(req), None),
        }
        answer(resp, body)

    def on_post(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """Make a key for a user in the project ``tenant_id``."""
        answer(resp, {"credential": ec2_view(req, self.create(req, user_id))}, 201)

    def on_get_member(
        self, req: falcon.Request, resp: falcon.Response, user_id: str, access: str
    ) -> None:
        """Show a key."""
        _caller, key = self.find(req, "ec2_get_credential", user_id, access)
        answer(resp, {"credential": ec2_view(req, key)})

    def on_delete_member(
        self, req: falcon.Request, resp: falcon.Response, user_id: str, access: str
    ) -> None:
        """Delete a key."""
        self.find(req, "ec2_delete_credential", user_id, access)
        self.service.credentials.delete_ec2(access)
        resp.status = 204

    def create(self, req: falcon.Request, user_id: str) -> Ec2Key:
        """Make the key that a request asks for."""
        caller = self.allow(req, "ec2_create_credential", Target(user_id=user_id))
        project_id = read_object(req).get("tenant_id")
        if not isinstance(project_id, str):
            raise InvalidInput("tenant_id", "It must be a string, the id of a project.")
        refuse_delegated(caller, project_id)
        return self.service.credentials.create_ec2(user_id, project_id)

    def find(
        self, req: falcon.Request, rule: str, user_id: str, access: str
    ) -> tuple[ValidatedToken, Ec2Key]:
        """The key of the user, which the caller may see or delete."""
        caller = self.caller(req)
        try:
            key = self.service.credentials.ec2_key(access)
            if key.user_id != user_id:
                raise NotFound(f"Could not find credential: {access}.")
        except NotFound as error:
            require(caller, f"identity:{rule}", Target(user_id=user_id))
            raise error from None
        require(caller, f"identity:{rule}", Target(user_id=key.user_id))
        refuse_delegated(caller, key.project_id, reading=rule == "ec2_get_credential")
        return caller, key


class Ec2TokensResource(Face):
    """``/v3/ec2tokens`` and ``/v2.0/ec2tokens``: a token for who signed an EC2 request."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Check a signature; the answer is a v3 token."""
        issued = self.authenticate(req)
        answer(resp, token_view(issued, self.service.reference.get(), with_catalog=True))
        resp.set_header("X-Subject-Token", issued.token)

    def authenticate(self, req: falcon.Request) -> ValidatedToken:
        """The token for whoever signed what the body tells of."""
        signed = read_signed_request(read_object(req))
        self._refuse_foreign(req, signed)
        return self.service.ec2.authenticate(signed)

    def _refuse_foreign(self, req: falcon.Request, signed: SignedRequest) -> None:
        """Only a service may bring signatures that were made for something else than EC2.

        A presigned S3 address is handed to others; it must not buy them a token.
        """
        if signed.version != "4" or signed.signed_service == "ec2":
            return
        try:
            caller = self.caller(req)
        except Unauthorized:
            caller = None
        trusted = caller is not None and (
            caller.context.is_admin or "service" in caller.context.roles
        )
        if not trusted:
            raise Unauthorized("The signature is not for the service ec2.")


class ApplicationCredentialsResource(Face):
    """``/v3/users/{user_id}/application_credentials`` and each one below it."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """List a user's application credentials."""
        self.allow(req, "list_application_credentials", Target(user_id=user_id))
        page = page_of(req)
        found = self.service.application_credentials.search(
            user_id, filters_of(req, ("name",)), page
        )
        more = page.limit is not None and len(found) > page.limit
        if more:
            found = found[: page.limit]
        reference = self.service.reference.get()
        body = {
            "application_credentials": [
                application_credential_view(req, one, reference) for one in found
            ],
            "links": list_links(req, page, found[-1].id if more else None),
        }
        answer(resp, body)

    def on_post(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """Make an application credential; its secret is in this answer alone."""
        caller = self.allow(req, "create_application_credential", Target(user_id=user_id))
        _refuse_restricted(caller)
        values = member(read_object(req), "application_credential")
        reference = self.service.reference.get()
        made, secret = self.service.application_credentials.create(caller, values, reference)
        body = application_credential_view(req, made, reference)
        body["secret"] = secret
        answer(resp, {"application_credential": body}, 201)

    def on_get_member(
        self, req: falcon.Request, resp: falcon.Response, user_id: str, credential_id: str
    ) -> None:
        """Show an application credential."""
        _caller, found = self._find(req, "get_application_credential", user_id, credential_id)
        body = application_credential_view(req, found, self.service.reference.get())
        answer(resp, {"application_credential": body})

    def on_delete_member(
        self, req: falcon.Request, resp: falcon.Response, user_id: str, credential_id: str
    ) -> None:
        """Delete an application credential."""
        caller, found = self._find(
            req, "delete_application_credential", user_id, credential_id
        )
        _refuse_restricted(caller)
        self.service.application_credentials.delete(found.id)
        resp.status = 204

    def _find(
        self, req: falcon.Request, rule: str, user_id: str, credential_id: str
    ) -> tuple[ValidatedToken, ApplicationCredential]:
        caller = self.caller(req)
        try:
            found = self.service.application_credentials.get(credential_id)
        except NotFound as error:
            if caller.user.id == user_id:
                raise
            raise known_or_refused(caller, f"identity:{rule}", error) from None
        require(caller, f"identity:{rule}", Target(user_id=found.user_id))
        return caller, found


class AccessRulesResource(Face):
    """``/v3/users/{user_id}/access_rules`` and each one below it."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """List a user's access rules."""
        self.allow(req, "list_access_rules", Target(user_id=user_id))
        found = self.service.application_credentials.access_rules(
            user_id, filters_of(req, ("service", "path", "method"))
        )
        body = {
            "access_rules": [access_rule_view(req, one) for one in found],
            "links": list_links(req, page_of(req), None),
        }
        answer(resp, body)

    def on_get_member(
        self, req: falcon.Request, resp: falcon.Response, user_id: str, rule_id: str
    ) -> None:
        """Show an access rule."""
        self.allow(req, "get_access_rule", Target(user_id=user_id))
        found = self.service.application_credentials.access_rule(user_id, rule_id)
        answer(resp, {"access_rule": access_rule_view(req, found)})

    def on_delete_member(
        self, req: falcon.Request, resp: falcon.Response, user_id: str, rule_id: str
    ) -> None:
        """Delete an access rule that no application credential has."""
        self.allow(req, "delete_access_rule", Target(user_id=user_id))
        self.service.application_credentials.delete_access_rule(user_id, rule_id)
        resp.status = 204


def _refuse_restricted(caller: ValidatedToken) -> None:
    """An application credential makes and deletes others only if it is unrestricted."""
    bound = caller.application_credential
    if bound is not None and not bound.unrestricted:
        raise Forbidden(
            "You are not authorized to perform the requested action: Using method "
            "'application_credential' is not allowed for managing additional application "
            "credentials.."
        )
