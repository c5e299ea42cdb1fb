# SPDX-License-Identifier: Apache-2.0
"""Paths: what is taken for what before a resource is asked."""

from __future__ import annotations

import pytest

from tests.unit.api.conftest import Api, message


@pytest.mark.parametrize("at", [1, 104, "v2"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/os-simple-tenant-usage/"), ("DELETE", "/images/"), ("GET", "/flavors/"),
        ("DELETE", "/os-aggregates/"), ("GET", "/"),
    ],
)
def test_an_empty_id_is_not_taken_for_the_collection(
    api: Api, method: str, path: str, at: int | str
) -> None:
    answer = api.request(method, path, at=at)
    assert (answer.status_code, message(answer)) == (404, "The resource could not be found.")


@pytest.mark.parametrize("path", ["/", "/v2.1", "/v2.1/", "/v2", "/v2/"])
def test_the_roots_take_a_slash(api: Api, path: str) -> None:
    assert api.client.simulate_get(path).status_code == 200
