# SPDX-License-Identifier: Apache-2.0
"""The Block Storage API as its tests call it: by HTTP, without a port."""

from __future__ import annotations

from typing import Any

import falcon.testing

from nova.errors import Unauthorized
from nova.objects.context import RequestContext
from nova.policy import Policy
from nova.volume.api.app import make_volume_app
from nova.volume.api.policies import RULES
from tests.unit.volume.storage import ADMIN, MEMBER, OTHER, Storage

CALLERS = {
    "member": MEMBER, "other": OTHER, "admin": ADMIN,
    "reader": RequestContext(user_id="eve", project_id="p1", roles=("reader",)),
    "service": RequestContext(
        user_id="nova", project_id="p1", roles=("member", "reader"), service_roles=("service",)
    ),
}
NOWHERE = "00000000-0000-4000-8000-00000000dead"


class Tokens:
    """A token is the caller's name."""

    def authenticate(self, token: str) -> RequestContext:
        if token not in CALLERS:
            raise Unauthorized
        return CALLERS[token]


class Api:
    """Requests without a port."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        policy = Policy(RULES)
        app = make_volume_app(storage.service, policy, Tokens(), "http://identity.test/v3")
        self._client = falcon.testing.TestClient(app)

    def __call__(
        self, method: str, path: str, body: Any = None, *, who: str = "member",
        version: str | None = "3.70", project: str | None = "own", **headers: str,
    ) -> falcon.testing.Result:
        if who:
            headers["X-Auth-Token"] = who
        if version is not None:
            headers["OpenStack-API-Version"] = f"volume {version}"
        named = CALLERS[who].project_id if project == "own" and who else project
        base = f"/v3/{named}" if named else "/v3"
        options = {} if body is None else {"json": body}
        return self._client.simulate_request(method, base + path, headers=headers, **options)

    def raw(self, method: str, path: str, **options: Any) -> falcon.testing.Result:
        return self._client.simulate_request(method, path, **options)

    def volume(self, **facts: Any) -> str:
        made = self("POST", "/volumes", {"volume": {"size": 1, **facts}})
        assert made.status_code == 202, made.text
        return str(made.json["volume"]["id"])
