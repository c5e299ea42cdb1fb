# SPDX-License-Identifier: Apache-2.0
"""``os-extra_specs`` and what known ones may be."""

from __future__ import annotations

from typing import Any

import pytest

from nova.api.compute.extra_spec_rules import check_extra_spec
from nova.db.engine import Database
from nova.errors import BadRequest
from tests.unit.api.conftest import Api, message, same_shape, sample

ROOT = "/flavors/1/os-extra_specs"


@pytest.fixture(autouse=True)
def _seeded(db: Database) -> None:
    with db.write() as tx:
        tx.flavors.seed_defaults()


@pytest.mark.parametrize("at", [1, 85, 86, 104])
def test_as_in_the_samples(api: Api, at: int) -> None:
    where = "v2.1/flavor-extra-specs/flavor-extra-specs"
    made = api.post(ROOT, sample(f"{where}-create-req.json"), at=at)
    assert made.status_code == 200
    assert made.json == sample(f"{where}-create-resp.json")
    assert api.get(ROOT, at=at).json == sample(f"{where}-list-resp.json")
    assert api.get(f"{ROOT}/hw:numa_nodes", at=at).json == sample(f"{where}-get-resp.json")
    changed = api.put(f"{ROOT}/hw:numa_nodes", sample(f"{where}-update-req.json"), at=at)
    assert changed.json == sample(f"{where}-update-resp.json")
    gone = api.delete(f"{ROOT}/hw:numa_nodes", at=at)
    assert (gone.status_code, gone.text) == (200, "")
    assert api.get(f"{ROOT}/hw:numa_nodes", at=at).status_code == 404


def test_v2_as_in_kilos_samples(api: Api) -> None:
    where = "kilo-v2/os-flavor-extra-specs/flavor-extra-specs"
    made = api.post(ROOT, sample(f"{where}-create-req.json"), at="v2")
    same_shape(made.json, sample(f"{where}-create-resp.json"))
    same_shape(api.get(ROOT, at="v2").json, sample(f"{where}-list-resp.json"))
    changed = api.put(f"{ROOT}/key1", sample(f"{where}-update-req.json"), at="v2")
    assert changed.json == sample(f"{where}-update-resp.json")


def test_numbers_become_texts(api: Api) -> None:
    assert api.post(ROOT, {"extra_specs": {"a": 1, "b": 1.5}}).json == {
        "extra_specs": {"a": 1, "b": 1.5}
    }
    assert api.get(ROOT).json == {"extra_specs": {"a": "1", "b": "1.5"}}


@pytest.mark.parametrize(
    "specs",
    [{"ü": "x"}, {"": "x"}, {"k" * 256: "x"}, {"a": "x" * 256}, {"a": None}, {"a": True},
     {"a": ["b"]}, {"a": 10**300}, {"a/b": "x"}, {"a": "\x00"}, "text", None, ["a"]],
)
def test_bad_specs_are_refused(api: Api, specs: Any) -> None:
    refusal = api.post(ROOT, {"extra_specs": specs})
    assert refusal.status_code == 400
    message(refusal)
    assert api.get(ROOT).json == {"extra_specs": {}}


@pytest.mark.parametrize("body", [{}, {"a": "b", "c": "d"}, {"other": "x"}, {"a": 1, "b": 2}, []])
def test_a_change_names_the_key_of_the_path_alone(api: Api, body: Any) -> None:
    assert api.put(f"{ROOT}/a", body).status_code == 400


def test_wrong_values_are_refused_from_2_86_on(api: Api) -> None:
    wrong = {"extra_specs": {"hw:cpu_policy": "sharrred"}}
    assert api.post(ROOT, wrong, at=85).status_code == 200
    refusal = api.post(ROOT, wrong, at=86)
    assert refusal.status_code == 400
    assert message(refusal) == (
        "Validation failed; 'sharrred' is not one of: dedicated, shared, mixed."
    )
    assert api.put(f"{ROOT}/hw:numa_nodes", {"hw:numa_nodes": "0"}, at=86).status_code == 400


@pytest.mark.parametrize(
    ("name", "value"),
    [("anything", "goes"), ("own:thing", "x"), ("hw:numa_nodes", "1"), ("hw:numa_cpus.0", "0-3"),
     ("hw:numa_cpus.1", "4,5,^6"), ("hw:numa_mem.0", "512"), ("hw:mem_page_size", "1GB"),
     ("hw:mem_page_size", "any"), ("hw:cpu_realtime_mask", "^0-1"), ("hw:boot_menu", "Yes"),
     ("quota:disk_read_bytes_sec", "10240000"), ("quota:vif_inbound_average", "1"),
     ("quota:cpu_quota", "-1"), ("resources:VCPU", "2"), ("resources1:CUSTOM_GOLD", "1"),
     ("resources:NET_BW_EGR_KILOBIT_PER_SEC", "1"), ("trait:HW_CPU_X86_AVX", "required"),
     ("trait_A:CUSTOM_X", "forbidden"), ("hw_rng:allowed", "True"), ("hw:pmem", "a,b"),
     ("aggregate_instance_extra_specs:ssd", "true"), ("capabilities:cpu_info:features", "<in> a"),
     ("capabilities:vcpus", ">= 4"), ("pci_passthrough:alias", "a1:2, b2:1"),
     ("os:secure_boot", "required"), ("vmware:hw_version", "x"), ("group_policy", "none")],
)
def test_right_values(name: str, value: str) -> None:
    check_extra_spec(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("hw:numa_nodes", "0"), ("hw:numa_nodes", "two"), ("hw:numa_cpus.x", "0"),
     ("hw:numa_cpus.0", "a"), ("hw:mem_page_size", "huge"), ("hw:boot_menu", "perhaps"),
     ("hw:nonsense", "1"), ("quota:cpu_shares", "-1"), ("quota:nonsense", "1"),
     ("resources:NONSENSE", "1"), ("resources:VCPU", "x"), ("trait:HW_CPU", "maybe"),
     ("trait:nonsense", "required"), ("hw_rng:rate_bytes", "-1"), ("capabilities:nonsense", "1"),
     ("pci_passthrough:alias", "a"), ("hw:redirected_usb_ports", "16"),
     ("group_policy", "sometimes"), ("hw:pmem", "a b")],
)
def test_wrong_values(name: str, value: str) -> None:
    with pytest.raises(BadRequest, match="Validation failed; "):
        check_extra_spec(name, value)


def test_readers_read_and_do_not_write(api: Api) -> None:
    api.post(ROOT, {"extra_specs": {"a": "b"}})
    assert api.get(ROOT, token="reader").status_code == 200
    assert api.get(f"{ROOT}/a", token="reader").json == {"a": "b"}
    for refusal in (
        api.post(ROOT, {"extra_specs": {"a": "c"}}, token="member"),
        api.put(f"{ROOT}/a", {"a": "c"}, token="member"),
        api.delete(f"{ROOT}/a", token="member"),
    ):
        assert refusal.status_code == 403
    assert api.get(f"{ROOT}/a").json == {"a": "b"}


def test_what_is_missing_is_404(api: Api) -> None:
    assert api.get("/flavors/no/os-extra_specs").status_code == 404
    assert api.post("/flavors/no/os-extra_specs", {"extra_specs": {"a": "b"}}).status_code == 404
    assert api.get(f"{ROOT}/no").status_code == 404
    refusal = api.delete(f"{ROOT}/no")
    assert (refusal.status_code, message(refusal)) == (
        404, "Flavor 1 has no extra specs with key no."
    )
