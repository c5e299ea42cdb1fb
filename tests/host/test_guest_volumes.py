# SPDX-License-Identifier: Apache-2.0
"""Volumes of the built-in service as disks of real guests: plugged while they run, and booted from."""

from __future__ import annotations

from typing import Any

from tests.api.cloud_process import wait_for
from tests.host.cloud import PATIENCE, GuestCloud

_GIB_SECTORS = 1 << 21

#: Says for ever what comes and goes and grows, and leaves its mark on each new disk.
_WATCH = """
( seen=" "; while :; do
  for n in vdb vdc; do
    size=$(test -b /dev/$n && cat /sys/block/$n/size 2>/dev/null)
    known=$(echo "$seen" | tr ' ' '\\n' | grep "^$n=")
    [ "$known" = "${size:+$n=$size}" ] && continue
    if [ -z "$size" ]; then echo "MARK unplugged $n"
    elif [ -z "$known" ]; then
      mark=$(dd if=/dev/$n bs=512 skip=2048 count=1 2>/dev/null | tr -d '\\0')
      echo "MARK plugged $n $(cat /sys/block/$n/serial) $size [$mark]"
      echo "written by NAME" | dd of=/dev/$n bs=512 seek=2048 conv=notrunc 2>/dev/null; sync
      echo "MARK wrote $n"
    else echo "MARK size $n $size"; fi
    seen="$(echo "$seen" | tr ' ' '\\n' | grep -v "^$n=" | tr '\\n' ' ') ${size:+$n=$size}"
  done; sleep 1
done ) &
"""


#: Says what is at the addresses that the config drive names.
_PLACES = """
for a in $(grep -o '"address":"[^"]*"' /mnt/openstack/latest/meta_data.json | cut -d'"' -f4); do
  echo "MARK at $a $(cd /sys/bus/pci/devices/$a; ls -d virtio*/net/* virtio*/block/* | sed 's/.*[/]//')"
done
"""


def _volume(cloud: GuestCloud, **facts: Any) -> str:
    project = cloud.login("demo")[1]
    made = cloud.call("volume", "POST", f"/v3/{project}/volumes", {"volume": {"size": 1, **facts}})
    assert made.status == 202, made.body
    volume = str(made.json["volume"]["id"])
    _reach(cloud, volume, "available")
    return volume


def _status(cloud: GuestCloud, volume: str) -> str:
    project = cloud.login("demo")[1]
    shown = cloud.call("volume", "GET", f"/v3/{project}/volumes/{volume}")
    return str(shown.json["volume"]["status"])


def _reach(cloud: GuestCloud, volume: str, status: str) -> None:
    wait_for(
        lambda: _status(cloud, volume) == status,
        lambda: f"volume {volume} is {_status(cloud, volume)}, not {status}", PATIENCE,
    )


def _attach(cloud: GuestCloud, server: str, volume: str) -> None:
    answer = cloud.compute(
        "POST", f"/servers/{server}/os-volume_attachments", {"volumeAttachment": {"volumeId": volume}}
    )
    assert answer.status == 202, answer.body
    _reach(cloud, volume, "in-use")


def test_a_volume_goes_from_a_running_guest_to_another_with_what_is_on_it(cloud: GuestCloud) -> None:
    network = cloud.compute("GET", "/os-networks", version="2.35").json["networks"][0]["id"]
    first = cloud.boot(
        "first", script=_PLACES + _WATCH.replace("NAME", "first"),
        networks=[{"uuid": network, "tag": "lan"}],
        block_device_mapping_v2=[{
            "uuid": cloud.image_id, "source_type": "image", "destination_type": "local",
            "boot_index": 0, "tag": "root", "delete_on_termination": True,
        }],
    )
    second = cloud.boot("second", script=_WATCH.replace("NAME", "second"))
    volume = _volume(cloud)
    cloud.reach(first, "ACTIVE")
    cloud.reach(second, "ACTIVE")
    cloud.says(first, "MARK ready")
    for device in ("eth0", "vda"):
        cloud.says(first, rf"MARK at 0000:\w\w:\w\w\.\d {device}")
    _attach(cloud, first, volume)
    cloud.says(first, rf"MARK plugged vdb {volume[:20]} {_GIB_SECTORS} \[\]")
    cloud.says(first, "MARK wrote vdb")

    other = _volume(cloud)
    cloud.become_service()
    project = cloud.login("admin")[1]
    exchange = {"volumeAttachment": {"volumeId": other}}
    path = f"/servers/{first}/os-volume_attachments/{volume}"
    assert cloud.compute("PUT", path, exchange, by="admin").status == 409
    moves = cloud.call(
        "volume", "POST", f"/v3/{project}/volumes/{volume}/action",
        {"os-reset_status": {"migration_status": "starting"}}, by="admin",
    )
    assert moves.status == 202, moves.body
    swapped = cloud.compute("PUT", path, exchange, by="admin")
    assert swapped.status == 202, swapped.body
    _reach(cloud, volume, "available")
    _reach(cloud, other, "in-use")

    written = cloud.state / "volumes" / f"volume-{other}"
    assert b"written by first" in written.read_bytes()[2048 * 512 : 2049 * 512]
    gone = cloud.compute("DELETE", f"/servers/{first}/os-volume_attachments/{other}")
    assert gone.status == 202, gone.body
    cloud.says(first, "MARK unplugged vdb")
    _reach(cloud, other, "available")

    cloud.says(second, "MARK ready")
    _attach(cloud, second, other)
    cloud.says(second, rf"MARK plugged vdb {other[:20]} {_GIB_SECTORS} \[written by first\s*\]")
    project = cloud.login("demo")[1]
    grown = cloud.call(
        "volume", "POST", f"/v3/{project}/volumes/{other}/action", {"os-extend": {"new_size": 2}},
        headers={"OpenStack-API-Version": "volume 3.59"},
    )
    assert grown.status == 202, grown.body
    cloud.says(second, f"MARK size vdb {2 * _GIB_SECTORS}")
    told = cloud.compute(
        "POST", "/os-server-external-events",
        {"events": [{"name": "volume-extended", "server_uuid": second, "tag": other}]}, by="admin",
    )
    assert told.status == 200, told.body

    cloud.act(second, "reboot", {"type": "HARD"})
    cloud.reach(second, "ACTIVE")
    cloud.says(second, rf"MARK plugged vdb {other[:20]} {2 * _GIB_SECTORS} \[written by second\s*\]")
    for server in (first, second):
        cloud.remove(server)
    _reach(cloud, other, "available")


def test_a_guest_boots_from_a_volume_that_outlives_it(cloud: GuestCloud) -> None:
    volume = _volume(cloud, imageRef=cloud.image_id)
    server = cloud.boot("rooted", image="", block_device_mapping_v2=[
        {"boot_index": 0, "uuid": volume, "source_type": "volume", "destination_type": "volume"}
    ])
    assert cloud.reach(server, "ACTIVE")["image"] == ""
    cloud.says(server, "MARK ready")
    assert f"MARK block vda {_GIB_SECTORS}" in cloud.console(server)
    assert not (cloud.files(server) / "disk").exists()
    cloud.act(server, "shelve")
    cloud.reach(server, "SHELVED_OFFLOADED")
    assert not cloud.files(server).exists()
    cloud.act(server, "unshelve")
    cloud.reach(server, "ACTIVE")
    cloud.says(server, "MARK ready")
    cloud.remove(server)
    _reach(cloud, volume, "available")
