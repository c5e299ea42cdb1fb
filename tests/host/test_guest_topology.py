# SPDX-License-Identifier: Apache-2.0
"""A real guest on CPUs of its own: what libvirt was told, and where its threads may run."""

from __future__ import annotations

import os
from xml.etree import ElementTree

from tests.host.cloud import GuestCloud
from tests.host.hypervisor import PrivateLibvirt


def test_a_pinned_guest_runs_on_its_own_cpu_and_no_second_one_gets_it(
    cloud: GuestCloud, hypervisor: PrivateLibvirt
) -> None:
    body = {"flavor": {"id": "pinned", "name": "pinned", "ram": 128, "vcpus": 1, "disk": 1}}
    assert cloud.compute("POST", "/flavors", body, by="admin").status == 200
    specs = {"extra_specs": {"hw:cpu_policy": "dedicated", "hw:numa_nodes": "1"}}
    assert cloud.compute("POST", "/flavors/pinned/os-extra_specs", specs, by="admin").status == 200

    uuid = cloud.boot("pinned", flavor="pinned")
    cloud.reach(uuid, "ACTIVE")
    shown = cloud.compute("GET", f"/servers/{uuid}/topology", by="admin", version="2.78").json
    (node,) = shown["nodes"]
    pinned = node["cpu_pinning"]["0"]
    domain = ElementTree.fromstring(hypervisor.virsh("dumpxml", uuid).stdout)
    pins = [dict(each.attrib) for each in domain.findall("cputune/vcpupin")]
    assert pins == [{"vcpu": "0", "cpuset": str(pinned)}]
    (cell,) = domain.findall("numatune/memnode")
    assert cell.get("nodeset") == str(node["host_node"])
    assert f"{pinned}" in hypervisor.virsh("vcpupin", uuid).stdout.splitlines()[2].split()[-1]

    second = cloud.boot("pinned-too", flavor="pinned")
    if (os.cpu_count() or 1) > 1:
        cloud.reach(second, "ACTIVE")
        theirs = cloud.compute("GET", f"/servers/{second}/topology", by="admin", version="2.78").json
        assert theirs["nodes"][0]["cpu_pinning"]["0"] != pinned
    else:
        assert "dedicated CPUs" in cloud.reach(second, "ERROR")["fault"]["message"]
    cloud.remove(second)
    cloud.remove(uuid)
