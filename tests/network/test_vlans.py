# SPDX-License-Identifier: Apache-2.0
"""VLAN devices, in a nested machine whose kernel has them: tagged frames, two networks on one VLAN."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from tests.network import nested
from tests.network.plumbing import ROOT

_SCRIPT = f"""
modprobe -a 8021q bridge veth af_packet nf_tables
cd {ROOT}
export PYTHONPATH={ROOT} PYTHONDONTWRITEBYTECODE=1
{sys.executable} {Path(__file__).with_name("vlans_inside.py")} > /run/exchange/result 2>&1
"""


@pytest.mark.timeout(450)
def test_two_networks_of_one_vlan_over_a_bond() -> None:
    if not nested.can_run():
        pytest.skip(f"{', '.join(nested.missing()) or 'root'} is needed (make system-parts)")
    result, console = nested.run_inside(_SCRIPT, timeout=400)
    assert result, console[-2000:]
    try:
        said = msgspec.json.decode(result.splitlines()[-1])
    except msgspec.DecodeError:
        raise AssertionError(result[-3000:]) from None
    assert said["bridge"] == ["10.1.0.1/24", "10.2.0.1/24"]
    assert said["vlan"] == [401, "bond1", "br401", 1496]
    assert said["host addresses"] == ["192.168.77.2/24"], "the bond keeps its own: VLANs are on top of it"
    # Guests behind the bond, whose frames carry the tag.
    assert said["leases"] == ["10.1.0.10", "10.2.0.10"]
    assert said["renewals"] == ["ACK", "ACK"]
    assert said["tagged"] == 401
    assert said["untagged"] is None, "what carries no tag is not in the network"
    assert said["asked from beside"] == {"10.9.9.7": "fa:16:3e:09:09:09", "10.9.9.8": None}
    assert said["second start"] == "nothing changed"
    assert said["after one is gone"] == [["10.2.0.1/24"], "ACK"]
    assert said["wrong vlan"].startswith("vlan402 is there, but it is VLAN 17 of bond1, not VLAN 402")
    assert said["at the end"] == []
