# SPDX-License-Identifier: Apache-2.0
"""Tokens of consoles: what they open, for how long, and what they never open."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from nova.compute.consoles import access_url, purge, redeem
from nova.db.schema.base import now
from nova.errors import BadRequest, Conflict, GuestNotFound, InstanceNotFound, NotFound
from nova.objects.console import ConsoleEndpoint
from tests.unit.compute.small_cloud import USER, SmallCloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    made = SmallCloud(tmp_path)
    yield made
    made.stop()


def _token(url: str) -> str:
    query = parse_qs(urlsplit(url).query)
    if "path" in query:
        query = parse_qs(query["path"][0].lstrip("?"))
    return query["token"][0]


def test_a_token_opens_the_console_of_its_server(cloud: SmallCloud) -> None:
    instance = cloud.boot()
    url = cloud.operations.open_console(USER, instance, "novnc")
    assert url.startswith("http://127.0.0.1:6080/vnc_auto.html?path=%3Ftoken%3D")
    opened = redeem(cloud.db, cloud.transport, _token(url))
    assert opened is not None
    assert (opened.instance_uuid, opened.console_type) == (instance.uuid, "novnc")
    assert opened.endpoint == ConsoleEndpoint(host="127.0.0.1", port=6969)
    assert opened == cloud.operations.console_of_token(_token(url))
    with cloud.db.read() as tx:
        stored = tx.connection.exec_driver_sql("SELECT * FROM console_tokens").all()
    assert _token(url) not in repr(stored)


@pytest.mark.parametrize(
    ("console_type", "begin"),
    [
        ("spice-html5", "http://127.0.0.1:6082/spice_auto.html?token="),
        ("spice-direct", "http://127.0.0.1:13002/nova?token="),
        ("serial", "ws://127.0.0.1:6083/?token="), ("webmks", "http://127.0.0.1:6090/?token="),
    ],
)
def test_addresses_of_the_other_consoles(
    cloud: SmallCloud, console_type: str, begin: str
) -> None:
    url = cloud.operations.open_console(USER, cloud.boot(), console_type)
    assert url.startswith(begin)
    opened = cloud.operations.console_of_token(_token(url))
    assert (opened.endpoint.tls_port is not None) == (console_type == "spice-direct")


def test_a_path_of_the_base_address_is_kept() -> None:
    url = access_url("novnc", "https://proxy/vnc.html?path=deep&autoconnect=1", "t")
    assert parse_qs(urlsplit(url).query) == {"path": ["deep?token=t"], "autoconnect": ["1"]}


def test_a_token_is_over_when_its_time_or_its_server_is(cloud: SmallCloud) -> None:
    instance = cloud.boot()
    first = _token(cloud.operations.open_console(USER, instance, "novnc"))
    second = _token(cloud.operations.open_console(USER, cloud.boot(), "novnc"))
    past = now() - datetime.timedelta(seconds=1)
    with cloud.db.write() as tx:
        tx.connection.exec_driver_sql(
            "UPDATE console_tokens SET expires_at = ? WHERE instance_uuid = ?",
            (past.isoformat(sep=" "), instance.uuid),
        )
    assert redeem(cloud.db, cloud.transport, first) is None
    assert purge(cloud.db) == 1
    assert redeem(cloud.db, cloud.transport, second) is not None
    with pytest.raises(NotFound):
        cloud.operations.console_of_token(first)


def test_a_token_does_not_open_the_guest_that_has_the_port_now(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = cloud.boot()
    assert instance.host is not None
    token = _token(cloud.operations.open_console(USER, instance, "novnc"))
    monkeypatch.setattr(
        cloud.managers[instance.host], "console_endpoint",
        lambda _instance, _type: ConsoleEndpoint(host="127.0.0.1", port=5901),
    )
    assert redeem(cloud.db, cloud.transport, token) is None


def test_a_token_does_not_follow_its_server_to_another_host(cloud: SmallCloud) -> None:
    instance = cloud.boot()
    token = _token(cloud.operations.open_console(USER, instance, "novnc"))
    cloud.operations.live_migrate(USER, instance, host=None)
    cloud.settle()
    assert redeem(cloud.db, cloud.transport, token) is None


def test_a_deleted_servers_token_opens_nothing(cloud: SmallCloud) -> None:
    instance = cloud.boot()
    token = _token(cloud.operations.open_console(USER, instance, "novnc"))
    cloud.operations.delete(USER, instance)
    cloud.settle()
    assert redeem(cloud.db, cloud.transport, token) is None


def test_what_has_no_console(cloud: SmallCloud) -> None:
    instance = cloud.boot()
    for console_type in ("rdp-html5", "xvpvnc"):
        with pytest.raises(BadRequest):
            cloud.operations.open_console(USER, instance, console_type)
    for changes in ({"host": None}, {"task_state": "deleting"}, {"task_state": "migrating"}):
        with pytest.raises(Conflict):
            cloud.operations.open_console(
                USER, msgspec.structs.replace(instance, **changes), "novnc"
            )


@pytest.mark.parametrize("method", ["console_endpoint", "console_output", "diagnostics"])
def test_what_is_asked_of_a_guest_that_its_host_no_longer_has_is_not_found(
    cloud: SmallCloud, method: str
) -> None:
    instance = cloud.boot()
    asks: dict[str, Callable[[], object]] = {
        "console_endpoint": lambda: cloud.operations.open_console(USER, instance, "novnc"),
        "console_output": lambda: cloud.operations.console_output(USER, instance, None),
        "diagnostics": lambda: cloud.operations.diagnostics(USER, instance),
    }
    with cloud.calls_fail(method, GuestNotFound), pytest.raises(InstanceNotFound):
        asks[method]()
    asks[method]()
