# SPDX-License-Identifier: Apache-2.0
"""Which API, which microversion, which project: read from the path and the headers.

The path's prefix (``/v2.1``, ``/v2.1/<project>``, ``/v2/<project>``) is taken off before routing, so that a
resource's path is written once.
"""

from __future__ import annotations

import re

import falcon

from nova import errors
from nova.api.compute.versions import MAXIMUM, MINIMUM, features_at

_OLD = "X-OpenStack-Nova-API-Version"
_NEW = "OpenStack-API-Version"

#: Where paths under no version are routed to.
OUTSIDE = "/-outside"

#: The original's default ``project_id_regex``.
_PROJECT = re.compile(r"^[0-9a-fA-F-]+$")
_NUMBER = re.compile(r"^([1-9][0-9]{0,8})\.([1-9][0-9]{0,8}|0)$")


class Negotiation:
    """Falcon middleware: sets ``minor``, ``legacy``, ``features``, ``base``, ``root`` and the project.

    Links begin with ``link_prefix``, or with the address that the request came to.
    """

    def __init__(self, collections: frozenset[str], link_prefix: str | None = None) -> None:
        self._collections = collections
        self._root = (link_prefix or "").rstrip("/")

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Split the path, settle the version and answer with it in the headers."""
        context = req.context
        resp.set_header("x-compute-request-id", context.request_id)
        context.minor = MINIMUM
        context.legacy = False
        context.features = features_at(MINIMUM)
        context.path_project = None
        context.root = self._root or req.prefix
        version, _, rest = req.path.lstrip("/").partition("/")
        context.base = f"{context.root}/{version}"
        if version not in ("v2", "v2.1"):
            if version:
                context.outside = req.path
                req.path = OUTSIDE
            return
        context.legacy = version == "v2"
        first, _, behind = rest.partition("/")
        if first not in self._collections and _PROJECT.match(first):
            context.path_project = first
            context.base = f"{context.base}/{first}"
            rest = behind
            req.path = f"/{rest}" if rest else "/-"
        else:
            req.path = f"/{rest}" if rest else f"/{version}"
        if not context.legacy:
            self._settle(req, resp)
        if rest and req.env.get("PATH_INFO", "").endswith("/"):
            # An empty id at the end of a path names nothing: it must not be taken for the collection.
            raise errors.NotFound("The resource could not be found.")

    def _settle(self, req: falcon.Request, resp: falcon.Response) -> None:
        context = req.context
        wanted = requested_version(req)
        resp.set_header("Vary", f"{_NEW}, {_OLD}")
        if wanted is None:
            context.minor = MINIMUM
        elif wanted == "latest":
            context.minor = MAXIMUM
        else:
            context.minor = _minor_of(wanted)
        context.features = features_at(context.minor)
        resp.set_header(_OLD, f"2.{context.minor}")
        resp.set_header(_NEW, f"compute 2.{context.minor}")


def requested_version(req: falcon.Request) -> str | None:
    """The version text that a request names for compute; the new header wins over the old."""
    header = req.get_header(_NEW)
    if header is not None:
        for part in reversed(header.split(",")):  # of several the last, as the original reads it
            words = part.split(None, 1)
            if len(words) == 2 and words[0].lower() == "compute":
                return words[1].strip().lower()
    old = req.get_header(_OLD)
    return old.strip().lower() if old is not None else None


def _minor_of(text: str) -> int:
    found = _NUMBER.match(text)
    if found is None:
        raise errors.BadRequest(
            f"API Version String {text[:40]} is of invalid format. Must be of format MajorNum.MinorNum."
        )
    major, minor = int(found.group(1)), int(found.group(2))
    if major != 2 or not MINIMUM <= minor <= MAXIMUM:
        raise errors.NotAcceptable(
            f"Version {text[:40]} is not supported by the API. "
            f"Minimum is 2.{MINIMUM} and maximum is 2.{MAXIMUM}."
        )
    return minor


class ProjectCheck:
    """Falcon middleware, after authentication: the path's project must be the token's."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Refuse a path that names another project (400, as the original does)."""
        caller = getattr(req.context, "caller", None)
        project = req.context.path_project
        if caller is None or project is None or caller.project_id == project:
            return
        raise errors.BadRequest(
            f"Malformed request URL: URL's project_id '{project[:64]}' doesn't match "
            f"Context's project_id '{caller.project_id}'"
        )
