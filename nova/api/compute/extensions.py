# SPDX-License-Identifier: Apache-2.0
"""``extensions``: a fixed list, for clients that look for one before they use a resource."""

from __future__ import annotations

from typing import Any

from nova.api.compute.extension_list import EXTENSIONS, Extension
from nova.api.compute.policies import ANYONE
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.errors import NotFound
from nova.policy import Rule

_ROOT = "os_compute_api:extensions"

RULES: tuple[Rule, ...] = (Rule(_ROOT, ANYONE, "List the extensions of the API, or show one."),)

_KILO_NAMESPACES = "http://docs.openstack.org/"
_NAMESPACE = "http://docs.openstack.org/compute/ext/fake_xml"
_UPDATED = "2014-12-03T00:00:00Z"


def _modern(extension: Extension) -> dict[str, Any]:
    return {
        "name": extension.name, "alias": extension.alias, "description": extension.description,
        "namespace": _NAMESPACE, "updated": _UPDATED, "links": [],
    }


def _legacy(extension: Extension) -> dict[str, Any]:
    updated = extension.updated
    return {
        **_modern(extension),
        "namespace": f"{_KILO_NAMESPACES}{extension.namespace}",
        "updated": updated if "T" in updated else f"{updated}T00:00:00Z",
    }


_MODERN = {each.alias: _modern(each) for each in EXTENSIONS if each.modern}
_LEGACY = {each.alias: _legacy(each) for each in EXTENSIONS if each.namespace is not None}


def index(request: ApiRequest) -> Any:
    """List the extensions."""
    known = _LEGACY if request.legacy else _MODERN
    return {"extensions": list(known.values())}


def show(request: ApiRequest) -> Any:
    """Show one by its alias."""
    known = _LEGACY if request.legacy else _MODERN
    extension = known.get(request.path["alias"])
    if extension is None:
        raise NotFound("The resource could not be found.")
    return {"extension": extension}


ROUTES: tuple[Route, ...] = (
    Route("GET", "/extensions", index, rule=_ROOT),
    Route("GET", "/extensions/{alias}", show, rule=_ROOT),
)
