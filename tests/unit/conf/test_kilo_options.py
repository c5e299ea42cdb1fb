# SPDX-License-Identifier: Apache-2.0
"""What each option of an operator's file of Kilo comes to: a meaning, or one warning of what replaced it."""

from __future__ import annotations

import logging
import operator
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from nova.conf import Config, check, load

_KILO = Path(__file__).with_name("kilo-nova.conf")
_NOVA = Path(__file__).parents[3] / "nova"

#: Option: where it is in the configuration, what the file says there, and another text with its value.
MEANT: dict[str, tuple[str, Any, str, Any]] = {
    "DEFAULT.start_guests_on_host_boot": ("compute_host.start_guests_on_host_boot", True, "no", False),
    "DEFAULT.resume_guests_state_on_host_boot": (
        "compute_host.resume_guests_state_on_host_boot", True, "0", False
    ),
    "DEFAULT.my_ip": ("default.my_ip", "10.20.30.11", "10.9.8.7", "10.9.8.7"),
    "DEFAULT.state_path": ("default.state_path", "/var/lib/nova", "/srv/növa", "/srv/növa"),
    "DEFAULT.network_manager": (
        "network.network_manager", "nova.network.manager.VlanManager",
        "nova.network.manager.FlatDHCPManager", "nova.network.manager.FlatDHCPManager",
    ),
    "DEFAULT.reserved_host_disk_mb": ("default.reserved_host_disk_mb", 512000, "7", 7),
    "DEFAULT.reserved_host_memory_mb": ("default.reserved_host_memory_mb", 20480, "7", 7),
    "DEFAULT.network_api_class": (
        "network.external", False, "nova.network.neutronv2.api.API", True
    ),
    "DEFAULT.public_interface": ("network.public_interface", "bond0", "eth7", "eth7"),
    "DEFAULT.send_arp_for_ha": ("network.send_arp_for_ha", True, "False", False),
    "DEFAULT.vlan_start": ("network.vlan_start", 16, "400", 400),
    "DEFAULT.vlan_interface": ("network.vlan_interface", "bond1", "eth7", "eth7"),
    "DEFAULT.network_size": ("network.network_size", 254, "64", 64),
    "DEFAULT.force_dhcp_release": ("network.force_dhcp_release", True, "False", False),
    "DEFAULT.dhcp_domain": ("network.dhcp_domain", "", "example.org", "example.org"),
    "DEFAULT.multi_host": ("network.multi_host", True, "False", False),
    "DEFAULT.share_dhcp_address": ("network.share_dhcp_address", True, "False", False),
    "DEFAULT.cpu_allocation_ratio": ("default.cpu_allocation_ratio", 1.0, "2.5", 2.5),
    "DEFAULT.disk_allocation_ratio": ("default.disk_allocation_ratio", 1.0, "2.5", 2.5),
    "DEFAULT.ram_allocation_ratio": ("default.ram_allocation_ratio", 1.0, "2.5", 2.5),
    "DEFAULT.allow_same_net_traffic": ("network.allow_same_net_traffic", False, "True", True),
    "DEFAULT.vcpu_pin_set": ("compute_host.vcpu_pin_set", "8-47", "4-12,^8", "4-12,^8"),
    "DEFAULT.compute_driver": (
        "default.compute_driver", "libvirt.LibvirtDriver", "fake.FakeDriver", "fake.FakeDriver"
    ),
    "DEFAULT.novncproxy_base_url": (
        "vnc.novncproxy_base_url", "http://10.20.30.10:6080/vnc_auto.html", "https://a/b", "https://a/b"
    ),
    "DEFAULT.vncserver_listen": ("compute_host.vncserver_listen", "0.0.0.0", "10.9.8.7", "10.9.8.7"),
    "DEFAULT.vncserver_proxyclient_address": (
        "vnc.server_proxyclient_address", "10.20.30.11", "10.9.8.7", "10.9.8.7"
    ),
    "DEFAULT.vnc_enabled": ("compute_host.vnc_enabled", True, "False", False),
    "DEFAULT.verbose": ("log.verbose", True, "False", False),
    "DEFAULT.debug": ("log.debug", False, "True", True),
    "DEFAULT.log_dir": ("log.log_dir", "/var/log/nova", "/srv/log", "/srv/log"),
    "glance.host": ("glance.host", "10.20.30.10", "glance.example", "glance.example"),
    "keystone_authtoken.auth_uri": (
        "keystone.www_authenticate_uri", "http://10.20.30.10:5000/v2.0", "http://k/v3", "http://k/v3"
    ),
    "keystone_authtoken.identity_uri": (
        "keystone.auth_url", "http://10.20.30.10:35357", "http://k:35357", "http://k:35357"
    ),
    "keystone_authtoken.admin_tenant_name": ("keystone.project_name", "service", "sérvice", "sérvice"),
    "keystone_authtoken.admin_user": ("keystone.username", "nova", "növa", "növa"),
    "keystone_authtoken.admin_password": ("keystone.password", "secret", "hemlig", "hemlig"),
    "libvirt.virt_type": ("libvirt.virt_type", "kvm", "qemu", "qemu"),
    "oslo_messaging_rabbit.rabbit_hosts": (
        "rabbit.rabbit_hosts", ("10.20.30.10:5672", "10.20.30.12:5672"), "mq1:5,mq2:6", ("mq1:5", "mq2:6")
    ),
    "oslo_messaging_rabbit.rabbit_userid": ("rabbit.rabbit_userid", "openstack", "növa", "növa"),
    "oslo_messaging_rabbit.rabbit_password": ("rabbit.rabbit_password", "secret", "hemlig", "hemlig"),
    "oslo_messaging_rabbit.rabbit_ha_queues": ("rabbit.rabbit_quorum_queue", True, "False", False),
    "oslo_messaging_rabbit.rabbit_retry_interval": ("rabbit.rabbit_retry_interval", 1, "3", 3),
    "oslo_messaging_rabbit.rabbit_retry_backoff": ("rabbit.rabbit_retry_backoff", 2, "5", 5),
}

#: Option with one value: there is no other.
ONLY: dict[str, tuple[str, str]] = {"DEFAULT.auth_strategy": ("keystone", "noauth")}

#: Option without a meaning now: what its warning says of what does that work instead.
REPLACED: dict[str, str] = {
    "DEFAULT.rpc_backend": "through the RabbitMQ of transport_url or of [oslo_messaging_rabbit]",
    "DEFAULT.security_group_api": "security groups are the built-in ones unless use_neutron is set",
    "DEFAULT.firewall_driver": "security groups and address translation are nftables rules",
    "oslo_concurrency.lock_path": "rows of the database exclude each other",
    "oslo_messaging_rabbit.rabbit_max_retries": "a broker that is away is tried again for ever",
}


@cache
def _kilo() -> Config:
    return load([str(_KILO)])


@cache
def _source() -> str:
    """All of our code."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(_NOVA.rglob("*.py")))


def _options(text: str) -> list[tuple[str, str]]:
    group, found = "", []
    for line in text.splitlines():
        if line.startswith("["):
            group = line.strip("[]")
        elif line and line[0] != "#":
            name, _, value = line.partition("=")
            found.append((f"{group}.{name}", value))
    return found


def test_every_option_of_the_file_is_here() -> None:
    assert sorted(name for name, _value in _options(_KILO.read_text())) == (
        sorted([*MEANT, *ONLY, *REPLACED])
    )


@pytest.mark.parametrize("name", MEANT)
def test_an_option_has_its_meaning(name: str, tmp_path: Path) -> None:
    where, kilo, text, value = MEANT[name]
    get = operator.attrgetter(where)
    assert get(_kilo()) == kilo
    group, _, option = name.partition(".")
    path = tmp_path / "nova.conf"
    path.write_text(f"[{group}]\n{option} = {text}\n", encoding="utf-8")
    assert get(load([str(path)])) == value
    attribute = where.rpartition(".")[2]
    assert re.search(rf"\.{attribute}\b", _source()), f"nobody reads {where}"


@pytest.mark.parametrize("name", ONLY)
def test_an_option_of_one_value_is_taken_with_it_and_refused_with_another(
    name: str, tmp_path: Path
) -> None:
    group, _, option = name.partition(".")
    path = tmp_path / "nova.conf"
    only, other = ONLY[name]
    path.write_text(f"[{group}]\n{option} = {only}\n")
    load([str(path)])
    path.write_text(f"[{group}]\n{option} = {other}\n")
    with pytest.raises(ValueError, match=option):
        load([str(path)])


@pytest.mark.parametrize("name", REPLACED)
def test_an_option_without_a_meaning_has_one_warning_of_what_replaced_it(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    group, _, option = name.partition(".")
    with caplog.at_level(logging.WARNING, logger="nova.conf.check"):
        check.warn([str(_KILO)])
    (warning,) = [
        record.getMessage() for record in caplog.records if f"[{group}] {option} " in record.getMessage()
    ]
    assert "it has no effect: " in warning
    assert REPLACED[name] in warning


def test_there_is_no_other_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="nova.conf.check"):
        check.warn([str(_KILO)])
    assert len(caplog.records) == len(REPLACED)
