# SPDX-License-Identifier: Apache-2.0
"""Domains that no server has, on libvirt's own simulated hypervisor (``test:///default``)."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nova.objects.states import RUNNING, SHUTDOWN
from nova.virt.libvirt.domain_xml import NOVA_NAMESPACE
from nova.virt.libvirt.files import HostFiles

if TYPE_CHECKING:
    from nova.virt.libvirt.host import HypervisorConnection

_MARK = f"<metadata><nova:instance xmlns:nova='{NOVA_NAMESPACE}'/></metadata>"


@pytest.fixture
def connection(binding: None) -> Iterator[HypervisorConnection]:
    from nova.virt.libvirt.host import HypervisorConnection

    made = HypervisorConnection("test:///default")
    made.start()
    yield made
    for domain in made.get().listAllDomains():
        if domain.isActive():
            domain.destroy()
        domain.undefine()
    made.stop()


def _domain(connection: HypervisorConnection, mark: str = "") -> str:
    name = str(uuid.uuid4())
    connection.get().defineXML(
        f"<domain type='test'><name>{name}</name><uuid>{name}</uuid><memory>8192</memory>{mark}"
        "<os><type>hvm</type></os></domain>"
    ).create()
    return name


def _states(connection: HypervisorConnection) -> dict[str, int]:
    from nova.virt.libvirt.host import power_state

    return {each.UUIDString(): power_state(each) for each in connection.get().listAllDomains()}


@pytest.mark.parametrize("stop", [False, True])
def test_only_a_running_domain_without_a_mark_is_stopped_and_only_where_asked(
    connection: HypervisorConnection, tmp_path: Path, caplog: pytest.LogCaptureFixture, stop: bool
) -> None:
    files = HostFiles(instances=tmp_path / "instances", snapshots=tmp_path / "snapshots", host="h")
    unknown, marked, ours = _domain(connection), _domain(connection, _MARK), _domain(connection)
    (tmp_path / "instances" / ours).mkdir(parents=True)
    from nova.virt.libvirt.strangers import Strangers

    strangers = Strangers(connection, files, stop=stop)
    with caplog.at_level(logging.WARNING):
        strangers.look(_states(connection))
        strangers.look(_states(connection))
    after = _states(connection)
    assert after[unknown] == (SHUTDOWN if stop else RUNNING)
    assert after[marked] == after[ours] == RUNNING
    said = [record.getMessage() for record in caplog.records]
    assert sum(unknown in each for each in said) == sum(marked in each for each in said) == 1
    assert not any(ours in each for each in said)


def test_a_domain_that_went_meanwhile_stops_nothing_else(
    connection: HypervisorConnection, tmp_path: Path
) -> None:
    files = HostFiles(instances=tmp_path / "instances", snapshots=tmp_path / "snapshots", host="h")
    from nova.virt.libvirt.strangers import Strangers

    gone, unknown = str(uuid.uuid4()), _domain(connection)
    Strangers(connection, files, stop=True).look({gone: RUNNING, unknown: RUNNING})
    assert _states(connection)[unknown] == SHUTDOWN
