# SPDX-License-Identifier: Apache-2.0
"""What becomes of the options in a configuration file."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from nova.conf import check, load
from nova.conf.check import IGNORED, READ, RENAMED, UNKNOWN, WRONG, Finding, inspect
from nova.conf.retired import RETIRED

KILO = Path(__file__).with_name("kilo-nova.conf")

Judge = Callable[[str], list[Finding]]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    def write_and_inspect(text: str) -> list[Finding]:
        path = tmp_path / "nova.conf"
        path.write_text(text)
        return inspect([str(path)])

    return write_and_inspect


def test_an_operators_file_of_kilo_has_nothing_unknown_or_wrong() -> None:
    findings = inspect([str(KILO)])
    assert len(findings) == sum(
        1 for line in KILO.read_text().splitlines() if line and line[0] not in "#["
    )
    assert [str(each) for each in findings if each.kind in (UNKNOWN, WRONG)] == []


def test_every_option_of_kilo_is_read_or_explained(judge: Judge) -> None:
    lines = KILO.with_name("kilo-options.txt").read_text().splitlines()[1:]
    text = ""
    for line in lines:
        group, _, names = line.partition("] ")
        text += f"{group}]\n" + "".join(f"{name} = 1\n" for name in names.split())
    findings = judge(text)
    assert len(findings) > 700
    # Of a value no more is asked here than that somebody would read it.
    assert [f"[{each.group}] {each.name}" for each in findings if each.kind == UNKNOWN] == []


def test_what_a_kilo_file_says_is_what_is_configured() -> None:
    config = load([str(KILO)])
    assert config.default.my_ip == "10.20.30.11"
    assert config.default.reserved_host_disk_mb == 512000
    assert config.default.cpu_allocation_ratio == 1.0
    assert config.compute_host.start_guests_on_host_boot
    assert config.compute_host.vcpu_pin_set == "8-47"
    assert config.network.vlan_start == 16
    assert config.network.dhcp_domain == ""
    assert config.network.multi_host
    assert config.vnc.novncproxy_base_url == "http://10.20.30.10:6080/vnc_auto.html"
    assert config.vnc.server_proxyclient_address == "10.20.30.11"
    assert config.keystone.identity_url() == "http://10.20.30.10:35357"
    assert config.keystone.www_authenticate_uri == "http://10.20.30.10:5000/v2.0"
    assert (config.keystone.username, config.keystone.project_name) == ("nova", "service")
    assert config.glance.addresses() == ("http://10.20.30.10:9292",)
    assert config.log.verbose
    assert config.log.log_dir == "/var/log/nova"


def test_one_warning_for_each_option_that_has_no_effect(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="nova.conf.check"):
        check.warn([str(KILO)])
    ignored = [each for each in inspect([str(KILO)]) if each.kind == IGNORED]
    assert ignored
    assert len(caplog.records) == len(ignored)
    for finding, record in zip(ignored, caplog.records, strict=True):
        assert f"[{finding.group}] {finding.name} " in record.getMessage()
        assert "it has no effect: " in record.getMessage()


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("[DEFAULT]\nmy_ip = 10.0.0.1\n", READ, "'10.0.0.1'"),
        ("[DEFAULT]\nmy_pi = 10.0.0.1\n", UNKNOWN, "did you mean my_ip"),
        ("[DEFAULT]\nvirt_type = kvm\n", UNKNOWN, "one of that name is in [libvirt]"),
        ("[DEFAULT]\nxyzzy_plugh = 1\n", UNKNOWN, "there is no such option"),
        ("[libvrit]\nvirt_type = kvm\n", UNKNOWN, "did you mean [libvirt]?"),
        ("[DEFAULT]\nscheduler_max_attempts = 5\n", RENAMED, "[conductor] max_attempts"),
        ("[DEFAULT]\nlibvirt_type = qemu\n", RENAMED, "[libvirt] virt_type"),
        ("[DEFAULT]\nvlan_start = many\n", WRONG, "many"),
        ("[DEFAULT]\nvlan_start = 5000\n", WRONG, "4094"),
        ("[libvirt]\nvirt_type = bhyve\n", WRONG, "bhyve"),
        ("[libvirt]\nvirt_type : kvm\n", READ, "'kvm'"),
        ("[cells]\nanything = 1\n", IGNORED, "there are no cells"),
        ("[DEFAULT]\nec2_workers = 4\n", IGNORED, "it has no effect"),
    ],
)  # fmt: skip
def test_each_kind_of_option_is_explained(judge: Judge, text: str, kind: str, said: str) -> None:
    (finding,) = judge(text)
    assert finding.kind == kind, finding
    assert said in finding.text
    assert finding.line == text.count("\n")


def test_passwords_are_not_shown(judge: Judge) -> None:
    (finding,) = judge("[keystone_authtoken]\npassword = s3cret\n")
    assert finding.kind == READ
    assert "s3cret" not in str(finding)


def test_what_stands_for_another_option_is_looked_up(judge: Judge) -> None:
    *_others, finding = judge("[DEFAULT]\nmy_ip = 10.9.8.7\nvncserver_listen = $my_ip\n")
    assert "'10.9.8.7'" in finding.text


def test_lines_that_go_on_belong_to_their_option(judge: Judge) -> None:
    findings = judge("[filter_scheduler]\nenabled_filters = ComputeFilter,\n  RamFilter\n")
    assert [each.kind for each in findings] == [READ]


def test_every_explanation_of_a_retired_option_is_a_text() -> None:
    for (group, name), why in RETIRED.items():
        assert group
        assert name
        assert len(why) > 10, (group, name)
        assert not why.endswith("."), (group, name)
