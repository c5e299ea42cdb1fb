# SPDX-License-Identifier: Apache-2.0
"""Where the brokers are, as operators' files say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nova.conf import load
from nova.errors import InvalidInput
from nova.rpc.brokers import Broker, brokers_of

_KILO = """
[DEFAULT]
rpc_backend = rabbit
[oslo_messaging_rabbit]
rabbit_hosts = mq1:5672,mq2:5673
rabbit_userid = openstack
rabbit_password = s3:cret
rabbit_ha_queues = True
rabbit_retry_interval = 3
"""


def _brokers(tmp_path: Path, text: str) -> list[Broker]:
    path = tmp_path / "nova.conf"
    path.write_text(text)
    config = load([str(path)])
    return brokers_of(config.messaging, config.rabbit)


def test_a_kilo_file_is_read_as_it_is(tmp_path: Path) -> None:
    assert _brokers(tmp_path, _KILO) == [
        Broker("mq1", 5672, "openstack", "s3:cret"), Broker("mq2", 5673, "openstack", "s3:cret"),
    ]


def test_a_transport_url_names_several_brokers(tmp_path: Path) -> None:
    url = "rabbit://nova:p%40ss@mq1:5672,other:x@[fd00::1]:5673,mq3/cloud"
    assert _brokers(tmp_path, f"[DEFAULT]\ntransport_url = {url}\n") == [
        Broker("mq1", 5672, "nova", "p@ss", "cloud"), Broker("fd00::1", 5673, "other", "x", "cloud"),
        Broker("mq3", 5672, "other", "x", "cloud"),
    ]


@pytest.mark.parametrize("url", ["kafka://a", "mq1:5672", "rabbit://", "rabbit://a:b@host:port/"])
def test_a_url_that_names_no_broker_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidInput, match="transport_url"):
        _brokers(tmp_path, f"[DEFAULT]\ntransport_url = {url}\n")
