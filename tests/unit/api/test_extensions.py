# SPDX-License-Identifier: Apache-2.0
"""``extensions``: the list of v2.1 and that of v2."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.conftest import Api, same_shape, sample


def without_descriptions(answer: Any) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in extension.items() if key != "description"}
        for extension in sorted(answer["extensions"], key=lambda each: each["alias"])
    ]


@pytest.mark.parametrize(
    ("at", "where"),
    [(1, "v2.1/extension-info/extensions-list-resp.json"),
     (104, "v2.1/extension-info/extensions-list-resp.json"),
     ("v2", "kilo-v2/all_extensions/extensions-get-resp.json")],
)
def test_the_list_is_that_of_the_sample(api: Api, at: int | str, where: str) -> None:
    answer = api.get("/extensions", at=at).json
    assert without_descriptions(answer) == without_descriptions(sample(where))
    assert all(extension["description"] for extension in answer["extensions"])


def test_one(api: Api) -> None:
    shown = api.get("/extensions/os-agents", token="reader").json
    same_shape(shown, sample("v2.1/extension-info/extensions-get-resp.json"))
    assert shown["extension"]["alias"] == "os-agents"


def test_unknown_ones_are_404(api: Api) -> None:
    assert api.get("/extensions/nonsense").status_code == 404
    assert api.get("/extensions/OS-EXT-VIF-NET").status_code == 404
    assert api.get("/extensions/OS-EXT-VIF-NET", at="v2").status_code == 200
    assert api.get("/extensions/os-lock-server", at="v2").status_code == 404
