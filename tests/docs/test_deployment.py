# SPDX-License-Identifier: Apache-2.0
"""The files that operators deploy with, as far as they can be tried without their machines.

No container engine and no Rocky Linux machine is here: the image is not built and the play not carried out.
"""

from __future__ import annotations

import configparser
import io
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from nova.cmd.manage import main as nova_manage
from tests.api.public_clients import clients_directory
from tests.docs.pages import ROOT

COMPOSE = ROOT / "deploy" / "compose"
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
PLAY = ROOT / "deploy" / "ansible" / "compute.yml"
SITE = {
    "nova_controller": "controller.example", "nova_rabbit_hosts": ["10.0.0.5", "10.0.0.6"],
    "nova_rabbit_password": "made up", "nova_host_key": "node7.key",
    "nova_my_ip": "10.0.0.7", "nova_data": "/data/nova", "nova_virt_type": "kvm",
    "nova_vlan_interface": "bond1", "nova_public_interface": "bond0", "nova_vcpu_pin_set": "8-47",
    "nova_reserved_host_memory_mb": 20480, "nova_reserved_host_disk_mb": 512000,
    "ansible_hostname": "node7",
}


def scripts() -> set[str]:
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"])


def unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text().replace("\\\n", " "))
    return parser


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_a_command_that_there_is(path: Path) -> None:
    service = unit(path)["Service"]
    named = set(re.findall(r"(?:/opt/nova/bin/|\s)(nova-[a-z-]+)(?=\s)", service["ExecStart"]))
    assert named - {"nova-compute"} <= scripts()
    assert "--config-file=/etc/nova/nova.conf" in service["ExecStart"]
    assert service["Restart"] == "always"
    if service.get("Type") == "notify":
        # It waits for the database, the broker and its key as long as it takes.
        assert service["TimeoutStartSec"] == "infinity"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_understands_a_unit(path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    said = subprocess.run(
        ["systemd-analyze", "verify", str(path)], capture_output=True, text=True, timeout=60, check=False
    ).stderr
    # The programs and docker's own unit are on the operators' machines.
    rest = [
        line for line in said.splitlines()
        if path.name in line and "is not executable" not in line and "docker.service not found" not in line
    ]
    assert rest == []


def test_the_network_service_is_no_root_and_may_change_networks() -> None:
    service = unit(ROOT / "deploy/systemd/openstack-nova-network.service")["Service"]
    assert service["User"] == "nova"
    assert "CAP_NET_ADMIN" in service["AmbientCapabilities"].split()


def test_ansible_accepts_the_play(tmp_path: Path) -> None:
    site = tmp_path / "site.json"
    site.write_text(json.dumps(SITE))
    subprocess.run(
        [str(clients_directory() / "ansible-playbook"), "-i", "node7,", str(PLAY), "-e", f"@{site}",
         "--syntax-check"],
        check=True, timeout=120, capture_output=True, cwd=tmp_path,
    )


def test_the_plays_configuration_is_one_that_nova_takes(tmp_path: Path) -> None:
    site, made = tmp_path / "site.json", tmp_path / "nova.conf"
    site.write_text(json.dumps(SITE))
    source = ROOT / "deploy/ansible/templates/nova.conf.j2"
    subprocess.run(
        [str(clients_directory() / "ansible"), "-i", "node7,", "-c", "local", "all", "-e", f"@{site}",
         "-e", "ansible_python_interpreter={{ ansible_playbook_python }}",
         "-m", "ansible.builtin.template", "-a", f"src={source} dest={made}"],
        check=True, timeout=120, capture_output=True, cwd=tmp_path,
    )
    written = configparser.ConfigParser(interpolation=None)
    written.read_string(made.read_text())
    assert written["DEFAULT"]["vcpu_pin_set"] == "8-47"
    assert written["oslo_messaging_rabbit"]["rabbit_hosts"] == "10.0.0.5,10.0.0.6"
    output = io.StringIO()
    assert nova_manage(["config", "check", "--config-file", str(made)], output) == 0, output.getvalue()
    assert " 0 read by a former name" in output.getvalue(), output.getvalue()
    assert "0 without effect, 0 unknown, 0 wrong" in output.getvalue(), output.getvalue()


def test_the_container_runs_as_nova_with_the_numbers_that_hosts_know() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "groupadd --gid 162 nova" in text
    assert "useradd --uid 162" in text
    assert "ARG TZ" in text
    extras = set(re.findall(r"'\.\[([a-z,]+)\]'", text)[0].split(","))
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras <= set(known)


def composed() -> dict[str, dict[str, Any]]:
    """The containers of ours in the compose file."""
    document = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    services = {name: each for name, each in document["services"].items() if "nova" in each["image"]}
    assert len(services) > 8
    for each in services.values():
        named = [volume.partition(":")[0] for volume in each["volumes"] if not volume.startswith(".")]
        assert set(named) <= set(document["volumes"])
    return services


def test_every_container_runs_a_command_that_there_is_and_has_time_to_end() -> None:
    for name, service in composed().items():
        assert service["command"].split()[0] in scripts(), name
        # Docker's own ten seconds would cut what a daemon lets end.
        assert service["stop_grace_period"] == "80s", name


def test_what_containers_write_to_is_made_for_nova_in_the_image() -> None:
    text = (ROOT / "Dockerfile").read_text()
    (made,) = re.findall(r"install -d -o nova -g nova -m 0755 ((?:/\S+ ?)+)", text)
    for service in composed().values():
        for volume in service["volumes"]:
            source, path = volume.split(":")[:2]
            if not source.startswith("."):
                # A volume begins as a copy of what the image has there, and is root's where that is nothing.
                assert path in made.split()
            else:
                assert (COMPOSE / source).is_file()


@pytest.mark.parametrize("file", ["nova.conf", "node.conf"])
def test_the_containers_configuration_is_one_that_nova_takes(file: str) -> None:
    output = io.StringIO()
    assert nova_manage(["config", "check", "--config-file", str(COMPOSE / file)], output) == 0
    assert " 0 read by a former name, 0 without effect" in output.getvalue(), output.getvalue()
