# SPDX-License-Identifier: Apache-2.0
"""What is believed of a proxy, and that nothing is where it is not enabled."""

from __future__ import annotations

from typing import Any

import falcon
import pytest
from falcon.testing import TestClient

from nova.http.proxies import with_proxy_headers


class Address:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = req.prefix


def _client(enabled: bool) -> TestClient:
    app = falcon.App()
    app.add_route("/", Address())
    believing: Any = with_proxy_headers(app, enabled)
    client = TestClient(app)
    client.app = believing
    return client


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({}, "http://inside:8774"),
        ({"X-Forwarded-Proto": "https"}, "https://inside:8774"),
        ({"X-Forwarded-Proto": "HTTPS", "X-Forwarded-Host": "cloud.example"}, "https://cloud.example"),
        ({"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "cloud.example, b"},
         "https://cloud.example"),
        ({"X-Forwarded-Host": "cloud.example:8443", "X-Forwarded-Prefix": "/compute/"},
         "http://cloud.example:8443/compute"),
        ({"Forwarded": 'for=1.2.3.4;proto=https;Host="[2001:db8::1]:8774", proto=http;host=b'},
         "https://[2001:db8::1]:8774"),
        ({"Forwarded": "proto=https", "X-Forwarded-Host": "cloud.example"}, "https://inside:8774"),
        ({"X-Forwarded-Proto": "javascript"}, "http://inside:8774"),
        ({"Forwarded": ";;=;proto", "X-Forwarded-Prefix": "/"}, "http://inside:8774"),
    ],
)
def test_what_a_proxy_says_of_the_address(headers: dict[str, str], address: str) -> None:
    sent = {"Host": "inside:8774"} | headers
    assert _client(True).simulate_get("/", headers=sent).json == address
    assert _client(False).simulate_get("/", headers=sent).json == "http://inside:8774"
