# SPDX-License-Identifier: Apache-2.0
"""``os-quota-class-sets`` at several versions and on v2."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.conftest import PROJECT, Api, message, same_shape, sample

ROOT = "/os-quota-class-sets/default"


@pytest.mark.parametrize(
    ("at", "where"),
    [(1, "v2.1/os-quota-class-sets"), (49, "v2.1/os-quota-class-sets"),
     (50, "v2.1/os-quota-class-sets/v2.50"), (57, "v2.1/os-quota-class-sets/v2.57"),
     (104, "v2.1/os-quota-class-sets/v2.57"), ("v2", "kilo-v2/os-server-group-quotas")],
)
def test_as_in_the_samples(api: Api, at: int | str, where: str) -> None:
    shown = api.get(ROOT, at=at).json
    same_shape(shown, sample(f"{where}/quota-classes-show-get-resp.json"))
    assert shown["quota_class_set"]["id"] == "default"
    changed = api.put(ROOT, sample(f"{where}/quota-classes-update-post-req.json"), at=at)
    assert changed.status_code == 200
    same_shape(changed.json, sample(f"{where}/quota-classes-update-post-resp.json"))
    assert changed.json["quota_class_set"]["instances"] == 50


def test_the_default_class_counts_for_every_project_and_others_do_not(api: Api) -> None:
    api.put("/os-quota-class-sets/golden", {"quota_class_set": {"instances": 1000}})
    assert api.get(f"/os-quota-sets/{PROJECT}").json["quota_set"]["instances"] == 10
    api.put(ROOT, {"quota_class_set": {"instances": 11}})
    assert api.get(f"/os-quota-sets/{PROJECT}").json["quota_set"]["instances"] == 11
    shown = api.get("/os-quota-class-sets/golden").json["quota_class_set"]
    assert (shown["id"], shown["instances"], shown["cores"]) == ("golden", 1000, 20)


@pytest.mark.parametrize(
    ("limits", "at"),
    [({"instances": "x"}, 1), ({"instances": -2}, 1), ({"colour": 1}, 1),
     ({"floating_ips": 1}, 50), ({"injected_files": 1}, 57), ({"force": True}, 1), (None, 1)],
)
def test_bad_limits(api: Api, limits: Any, at: int) -> None:
    refusal = api.put(ROOT, {"quota_class_set": limits}, at=at)
    assert refusal.status_code == 400
    message(refusal)


def test_long_names_are_refused(api: Api) -> None:
    assert api.get(f"/os-quota-class-sets/{'c' * 65}").status_code == 400


def test_only_administrators(api: Api) -> None:
    assert api.get(ROOT, token="member").status_code == 403
    refusal = api.put(ROOT, {"quota_class_set": {"cores": 1}}, token="member")
    assert refusal.status_code == 403
