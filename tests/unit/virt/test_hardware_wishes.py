# SPDX-License-Identifier: Apache-2.0
"""What every image property and extra spec about hardware does, as documented: shown, refused or nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nova.api.compute.extra_spec_rules import _EXACT
from nova.errors import VirtError
from tests.unit.virt.guests import instance
from tests.unit.virt.hardware_wishes import (
    HONOURED,
    HONOURED_ELSEWHERE,
    NO_EFFECT,
    REFUSED,
    REFUSED_VALUES,
    Wish,
    described,
    guest_of,
    missing,
)

_PAGE = Path(__file__).parents[3] / "docs/operators/guest-hardware.md"
_SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")


def _asks(name: str, value: str) -> dict[str, Any]:
    """The keywords of an instance whose flavor or image asks for this."""
    if ":" in name or name in ("group_policy", "hide_hypervisor_id"):
        return {"specs": {name: value}}
    return {"image_properties": {name: value}}


@pytest.mark.parametrize("wish", HONOURED, ids=str)
def test_what_is_honoured_is_in_the_description(wish: Wish, tmp_path: Path) -> None:
    for virt_type in wish.virt_types:
        text = described(
            guest_of(wish), tmp_path, virt_type=virt_type, spice=wish.spice, cpu_mode=wish.cpu_mode
        )
        assert missing(text, wish) == []
    # It is the wish that makes it so.
    plain = Wish(shows=wish.shows, names=())
    default = described(guest_of(plain), tmp_path, virt_type=wish.virt_types[0])
    assert missing(default, wish) or wish.names[0] in _ALSO_BY_DEFAULT


#: What some values ask for is what guests get anyway.
_ALSO_BY_DEFAULT = frozenset({
    "hw_disk_bus", "hw_cdrom_bus", "hw_vif_model", "hw_vif_multiqueue_enabled",
    "hw:vif_multiqueue_enabled", "hw_video_model", "hw_pointer_model",
})


def test_libvirts_schema_accepts_every_description(tmp_path: Path) -> None:
    if not shutil.which("xmllint") or not _SCHEMA.exists():
        pytest.skip("xmllint and libvirt's schemas are not installed")
    files = []
    for number, wish in enumerate(HONOURED):
        # A real libvirtd judges those of QEMU's emulation (tests/host).
        text = described(
            guest_of(wish), tmp_path, virt_type="kvm", spice=wish.spice, cpu_mode=wish.cpu_mode
        )
        file = tmp_path / f"{number}.xml"
        file.write_text(text)
        files.append(str(file))
    done = subprocess.run(
        ["xmllint", "--noout", "--relaxng", str(_SCHEMA), *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, [line for line in done.stderr.splitlines() if "validates" not in line]


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=[name for name, _value in REFUSED])
def test_what_is_required_and_never_given_is_refused_by_its_name(
    name: str, value: str, tmp_path: Path
) -> None:
    with pytest.raises(VirtError, match="does not give") as refused:
        described(instance(**_asks(name, value)), tmp_path)
    assert name in refused.value.message


@pytest.mark.parametrize(("properties", "specs", "reason"), REFUSED_VALUES)
def test_a_value_that_cannot_be_given_is_refused_with_the_reason(
    properties: Mapping[str, Any], specs: Mapping[str, str], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(VirtError, match=re.escape(reason)):
        described(instance(specs=dict(specs), image_properties=dict(properties)), tmp_path)


def test_what_has_no_effect_changes_nothing(tmp_path: Path) -> None:
    plain = described(instance(), tmp_path)
    for name, value in NO_EFFECT:
        assert described(instance(**_asks(name, value)), tmp_path) == plain, name


#: Told of beside what is refused otherwise.
_SPECIAL_CASES = {"resources:VGPU", "trait:CUSTOM_GOLD"}


def _documented() -> dict[str, set[str]]:
    """The names in the first column of each of the page's tables, by heading."""
    found: dict[str, set[str]] = {}
    heading = ""
    for line in _PAGE.read_text().splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("| `"):
            names = re.findall(r"`([^`]+)`", line.split(" | ")[0])
            assert not found.setdefault(heading, set()) & set(names), names
            found[heading] |= set(names)
    return found


def test_the_page_tells_of_every_name_what_it_does() -> None:
    honoured = {name for wish in HONOURED for name in wish.names} | HONOURED_ELSEWHERE
    assert _documented() == {
        "Honoured": honoured,
        "Refused": {re.sub(r"^(trait|resources)\d*:.*", r"\1:…", name) for name, _value in REFUSED},
        "Without effect": {name for name, _value in NO_EFFECT} - _SPECIAL_CASES,
    }


def test_every_extra_spec_that_the_api_knows_is_sorted() -> None:
    sorted_out = {name for wish in HONOURED for name in wish.names} | HONOURED_ELSEWHERE
    sorted_out |= {name for name, _value in (*REFUSED, *NO_EFFECT)}
    assert _EXACT.keys() - sorted_out == set()
