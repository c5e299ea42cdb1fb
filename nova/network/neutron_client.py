# SPDX-License-Identifier: Apache-2.0
"""The few requests that are made to an external network service, with its errors as ours."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from nova.conf.neutron import NeutronSection
from nova.errors import (
    AddressInUse,
    BadRequest,
    Conflict,
    Forbidden,
    NoMoreAddresses,
    NotFound,
    NovaError,
    QuotaExceeded,
    ServiceUnavailable,
)

_PLURALS = {"port": "ports", "network": "networks", "subnet": "subnets", "floatingip": "floatingips"}


class NeutronClient:
    """Requests through openstacksdk's session; safe for any number of threads.

    The connection is made at the first use, so that a cloud starts while the service is down.
    """

    def __init__(self, section: NeutronSection) -> None:
        self._section = section
        self._lock = threading.Lock()
        self._proxy: Any = None

    def list(self, collection: str, **query: str) -> list[dict[str, Any]]:
        """All things of a collection that a query finds, whatever the service's page size."""
        key = collection.replace("-", "_")
        found: list[dict[str, Any]] = []
        marker: str | None = None
        while True:
            params = dict(query) if marker is None else {**query, "marker": marker}
            body = self._ask("GET", f"/{collection}", params=params)
            page = body[key]
            found += page
            more = any(each.get("rel") == "next" for each in body.get(f"{key}_links", ()))
            if not more or not page or page[-1]["id"] == marker:
                return found
            marker = page[-1]["id"]

    def find(self, kind: str, identifier: str) -> dict[str, Any] | None:
        """One thing; None where it is not there."""
        try:
            body = self._ask("GET", f"/{_PLURALS[kind]}/{identifier}")
        except NotFound:
            return None
        return dict(body[kind])

    def create(self, kind: str, values: dict[str, Any]) -> dict[str, Any]:
        """Make a thing."""
        return dict(self._ask("POST", f"/{_PLURALS[kind]}", json={kind: values})[kind])

    def update(self, kind: str, identifier: str, values: dict[str, Any]) -> dict[str, Any]:
        """Change a thing; ``NotFound`` where it is gone."""
        path = f"/{_PLURALS[kind]}/{identifier}"
        return dict(self._ask("PUT", path, json={kind: values})[kind])

    def delete(self, kind: str, identifier: str) -> None:
        """Remove a thing; one that is gone is no error."""
        try:
            self._ask("DELETE", f"/{_PLURALS[kind]}/{identifier}")
        except NotFound:
            return

    def limit(self, resource: str, project_id: str) -> int:
        """A project's limit; -1 is none, also where the service keeps none."""
        try:
            body = self._ask("GET", f"/quotas/{project_id}")
        except (NotFound, Forbidden):
            return -1
        return int(body["quota"].get(resource, -1))

    def auto_allocated(self, project_id: str) -> str | None:
        """The network that the service makes for a project that has none; None without one."""
        try:
            body = self._ask("GET", f"/auto-allocated-topology/{project_id}")
        except (NotFound, Conflict, BadRequest, Forbidden):
            return None
        found = body["auto_allocated_topology"]["id"]
        return None if found is None else str(found)

    # -- transport ---------------------------------------------------------------------------------

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        from keystoneauth1.exceptions import ClientException

        try:
            answer = self._network().request(
                path, method, raise_exc=False, headers={"Accept": "application/json"}, **options
            )
        except ClientException as error:
            raise ServiceUnavailable(f"The network service does not answer: {error}") from None
        if answer.status_code >= 400:
            raise refusal(answer.status_code, answer.content, _json_of(answer.json))
        return answer.json() if answer.content else {}

    def _network(self) -> Any:
        """openstacksdk's network proxy."""
        with self._lock:
            if self._proxy is None:
                self._proxy = self._connect()
            return self._proxy

    def _connect(self) -> Any:
        from keystoneauth1.identity.generic import Password
        from keystoneauth1.session import Session
        from openstack.connection import Connection
        from openstack.exceptions import SDKException

        section = self._section
        if not section.auth_url:
            raise ServiceUnavailable("The option [neutron] auth_url is not set.")
        auth = Password(
            auth_url=section.auth_url, username=section.username, password=section.password,
            project_name=section.project_name, user_domain_name=section.user_domain_name,
            project_domain_name=section.project_domain_name,
        )
        verify: bool | str = False if section.insecure else section.cafile or True
        settings: dict[str, Any] = {"network_api_version": "2"}
        if section.endpoint_override:
            base = section.endpoint_override.rstrip("/")
            settings["network_endpoint_override"] = (
                base if base.endswith("/v2.0") else f"{base}/v2.0"
            )
        if section.region_name:
            settings["region_name"] = section.region_name
        session = Session(auth, verify=verify, timeout=section.timeout)
        try:
            return Connection(session=session, app_name="nova", **settings).network
        except SDKException as error:
            raise ServiceUnavailable(f"The network service cannot be used: {error}") from None


def _json_of(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except ValueError:
        return None


def refusal(status: int, content: bytes, body: Any) -> NovaError:
    """Our error for an answer of the network service (Networking API, "Errors")."""
    error = body.get("NeutronError") if isinstance(body, dict) else None
    kind, message = "", content[:200].decode("utf-8", "replace")
    if isinstance(error, dict):
        kind, message = str(error.get("type", "")), str(error.get("message", ""))
    elif isinstance(error, str):
        message = error
    if status >= 500 or status in (401, 408, 429):
        return ServiceUnavailable(f"The network service answers {status}: {message}")
    if kind == "IpAddressGenerationFailure":
        return NoMoreAddresses(message)
    if kind in ("IpAddressInUse", "IpAddressAlreadyAllocated"):
        return AddressInUse(message)
    if kind == "OverQuota" or status == 413:
        return QuotaExceeded("Maximum number of ports exceeded")
    kinds: dict[int, type[NovaError]] = {403: Forbidden, 404: NotFound, 409: Conflict}
    return kinds.get(status, BadRequest)(message)
