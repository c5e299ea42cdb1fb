# SPDX-License-Identifier: Apache-2.0
"""What is seen of separate daemons: a request in their logs, their metrics, their health."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterable

import pika
import pytest

from nova import __version__
from tests.cluster.cluster import ROOT, Cluster, Daemon
from tests.cluster.load import wait_until

pytestmark = pytest.mark.timeout(400)

#: The names of metrics in docs/operators/monitoring.md.
_TABLE = re.compile(r"^\| (`nova_[^|]*`) \|", re.MULTILINE)


def test_a_request_id_is_in_the_logs_of_api_scheduler_host_and_conductor(cluster: Cluster) -> None:
    api = cluster.api()
    status, answer = api.ask("POST", "/servers", {"server": {
        "name": "spur", "imageRef": api.image_id(), "flavorRef": "1", "networks": "auto",
    }})
    assert status == 202, answer
    uuid = answer["server"]["id"]
    actions = api.get(f"/servers/{uuid}/os-instance-actions")["instanceActions"]
    request_id = actions[0]["request_id"]

    def kinds() -> set[str]:
        """The kinds of daemons whose log has a line of the request."""
        return {
            re.sub(r"\d+$", "", name)
            for name, daemon in cluster.daemons.items()
            if f"[{request_id} " in daemon.log.read_text(errors="replace")
        }

    assert wait_until(lambda: {"api", "scheduler", "node", "conductor"} <= kinds(), 30), kinds()
    assert api.ask("GET", f"/servers/{uuid}/diagnostics")[0] in (200, 409)
    assert api.ask("DELETE", f"/servers/{uuid}")[0] == 204


def _asked(daemon: Daemon, path: str) -> tuple[int, str]:
    """What a daemon's admin listener answers."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.metrics_port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _binary(daemon: Daemon) -> str:
    """``nova-api`` of a daemon that runs ``nova.cmd.api``."""
    return "nova-" + daemon.command[2].removeprefix("nova.cmd.").replace("_", "-")


def _value(daemons: Iterable[Daemon], sample: str) -> float:
    """The sum of a sample, such as ``name{label="x"}``, over processes; 0 where none has it."""
    found = (
        re.search(rf"^{re.escape(sample)} (\S+)$", _asked(each, "/metrics")[1], re.MULTILINE)
        for each in daemons
    )
    return sum(float(each[1]) for each in found if each is not None)


def test_every_daemon_has_metrics_and_tells_how_it_is(cluster: Cluster) -> None:
    documented = {
        name for cell in _TABLE.findall((ROOT / "docs" / "operators" / "monitoring.md").read_text())
        for name in re.findall(r"`(nova_\w+)`", cell)
    }
    assert len(documented) > 20
    for daemon in cluster.daemons.values():
        status, text = _asked(daemon, "/metrics")
        assert status == 200
        assert f'nova_build_info{{daemon="{_binary(daemon)}",version="{__version__}"}} 1.0' in text
        families = dict(re.findall(r"^# TYPE (nova_\w+) (\w+)$", text, re.MULTILINE))
        assert families.keys() == documented, (daemon.name, families.keys() ^ documented)
        assert re.search(r"^process_resident_memory_bytes \S+$", text, re.MULTILINE)
        assert wait_until(lambda d=daemon: _asked(d, "/healthcheck")[0] == 200, 30), daemon.name
        told = json.loads(_asked(daemon, "/healthcheck")[1])
        assert (told["ok"], told["reasons"]) == (True, []), (daemon.name, told)
        on_host = daemon.name.startswith(("node", "metadata", "vnc", "serial"))
        assert ("database" in told["parts"]) is not on_host
        if on_host or daemon.name.startswith(("conductor", "scheduler", "api")):
            assert told["parts"]["transport"]["ok"] is True


def test_the_figures_of_a_boot_are_where_operators_look_for_them(cluster: Cluster) -> None:
    def of(*kinds: str) -> list[Daemon]:
        return [each for name, each in cluster.daemons.items() if name.startswith(kinds)]

    control, schedulers = of("conductor", "scheduler", "api"), of("scheduler")
    labels = '{kind="create",result="success"}'
    figures: dict[str, list[Daemon]] = {
        f"nova_operations_total{labels}": control,
        f"nova_operation_duration_seconds_count{labels}": control,
        'nova_step_duration_seconds_count{kind="create",result="success",step="spawn"}': of("node"),
        'nova_scheduler_placements_total{result="placed"}': schedulers,
        "nova_scheduler_batch_duration_seconds_count": schedulers,
        'nova_http_requests_total{face="compute",method="POST",status="202"}': of("api"),
        'nova_http_request_duration_seconds_count{face="compute",method="POST"}': of("api"),
        "nova_host_reports_total": of("conductor"),
    }
    before = {sample: _value(daemons, sample) for sample, daemons in figures.items()}
    seconds = _value(control, f"nova_operation_duration_seconds_sum{labels}")
    api = cluster.api()
    status, answer = api.ask("POST", "/servers", {"server": {
        "name": "counted", "imageRef": api.image_id(), "flavorRef": "1", "networks": "auto",
    }})
    assert status == 202, answer
    assert wait_until(
        lambda: all(_value(daemons, sample) > before[sample] for sample, daemons in figures.items()), 30
    ), {sample: (before[sample], _value(daemons, sample)) for sample, daemons in figures.items()}
    assert _value(control, f"nova_operation_duration_seconds_sum{labels}") > seconds
    for each in schedulers:
        assert _value([each], "nova_scheduler_table_hosts") == len(cluster.hosts)
        assert _value([each], "nova_placements_waiting") == 0
    for each in control:
        assert _value([each], "nova_db_pool_size") > 0
    # What lies in the queue is asked every 15 seconds, and is the same for all who ask.
    assert wait_until(lambda: {_value([each], "nova_dead_letter_queue_depth") for each in control} ==
                      {_dead_letters(cluster)}, 60)
    assert api.ask("DELETE", f"/servers/{answer['server']['id']}")[0] == 204


def _dead_letters(cluster: Cluster) -> float:
    connection = pika.BlockingConnection(pika.ConnectionParameters(
        "127.0.0.1", cluster.broker.port, credentials=pika.PlainCredentials("nova", "nova")
    ))
    try:
        return float(connection.channel().queue_declare("nova.dead", passive=True).method.message_count)
    finally:
        connection.close()
