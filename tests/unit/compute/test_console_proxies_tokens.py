# SPDX-License-Identifier: Apache-2.0
"""What a console proxy asks of the control side: a token opens one connection, whoever asks at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nova.compute.consoles import redeem_once
from nova.rpc.calls import CONSOLES
from tests.unit.compute.small_cloud import USER, SmallCloud
from tests.unit.compute.test_consoles import _token


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    made = SmallCloud(tmp_path)
    yield made
    made.stop()


def test_a_token_is_void_after_it_was_used(cloud: SmallCloud) -> None:
    instance = cloud.boot()
    token = _token(cloud.operations.open_console(USER, instance, "serial"))
    opened = cloud.transport.call(CONSOLES, None, "redeem", "proxy", token)
    assert opened.instance_uuid == instance.uuid
    assert opened.endpoint.port == cloud.config.fake.serial_port
    assert cloud.transport.call(CONSOLES, None, "redeem", "proxy", token) is None
    assert cloud.transport.call(CONSOLES, None, "redeem", "proxy", "unknown \udcff") is None


def test_of_many_at_once_one_has_the_console(cloud: SmallCloud) -> None:
    instance = cloud.boot()
    for _ in range(5):
        token = _token(cloud.operations.open_console(USER, instance, "novnc"))
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: redeem_once(cloud.db, cloud.transport, token), range(8)))  # noqa: B023
        assert len([each for each in found if each is not None]) == 1


def test_another_servers_token_is_not_touched(cloud: SmallCloud) -> None:
    first, second = cloud.boot(), cloud.boot()
    tokens = [
        _token(cloud.operations.open_console(USER, each, "novnc")) for each in (first, second)
    ]
    assert redeem_once(cloud.db, cloud.transport, tokens[0]) is not None
    opened = redeem_once(cloud.db, cloud.transport, tokens[1])
    assert opened is not None
    assert opened.instance_uuid == second.uuid
