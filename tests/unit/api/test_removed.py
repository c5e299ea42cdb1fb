# SPDX-License-Identifier: Apache-2.0
"""APIs that are gone say so at every version."""

from __future__ import annotations

import pytest

from nova.api.compute import removed
from nova.api.compute.routing import gone
from tests.unit.api.conftest import Api, message

GONE = [(route.method, route.path.replace("{", "").replace("}", ""))
        for route in removed.ROUTES if route.handler is gone]


@pytest.mark.parametrize("method, path", GONE)
def test_410_at_every_version(api: Api, method: str, path: str) -> None:
    for at in (1, 35, 36, 104, "v2"):
        answer = api.request(method, path, at=at, token="member", raw=b"not json")
        assert answer.status_code == 410, (method, path, at)
        assert answer.json["computeFault"]["code"] == 410


def test_bare_metal_needs_its_service(api: Api) -> None:
    for path in ("/os-baremetal-nodes", "/os-baremetal-nodes/x"):
        answer = api.get(path, at=35)
        assert answer.status_code == 501
        assert "notImplemented" in answer.json
        assert api.get(path, at=36).status_code == 404
        assert api.get(path, token="member").status_code == 403
    assert api.post("/os-baremetal-nodes", {}).status_code == 400
    refused = api.delete("/os-baremetal-nodes/x")
    assert refused.status_code == 400
    assert "bare-metal" in message(refused)
