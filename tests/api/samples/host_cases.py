# SPDX-License-Identifier: Apache-2.0
"""The samples of hosts, services, aggregates, migrations and what an operator sees of servers."""

from __future__ import annotations

import datetime
import time
from urllib.parse import quote

from nova.db.schema.base import now
from tests.api.samples import server_cases
from tests.api.samples.stage import Case, Stage


def hypervisor(stage: Stage) -> None:
    """A hypervisor with a server on it."""
    server_cases.running(stage)
    server = stage.show(stage.names["server"])
    stage.names["host"] = host = server["OS-EXT-SRV-ATTR:hypervisor_hostname"]
    found = stage.must(
        "GET", f"/os-hypervisors?hypervisor_hostname_pattern={host}",
        at=max(stage.minor, 53),
    ) if stage.minor >= 53 else stage.must("GET", "/os-hypervisors", at=stage.minor)
    stage.names["hypervisor"] = next(
        str(each["id"]) for each in found["hypervisors"] if each["hypervisor_hostname"] == host
    )


def empty_hypervisor(stage: Stage) -> None:
    """A host of a cloud in which no sample boots."""
    stage.names["host"] = stage.cloud.managers[-1].name


def host(stage: Stage) -> None:
    """The host that has no zone, under the names that requests use."""
    name = stage.cloud.managers[-1].name
    stage.names["host"] = name
    for old in (
        "host1", "21549b2f665945baaa7101926a00143c", "bf1454b3d71145d49fca2101c56c728d",
        "\"compute\"",
    ):
        stage.texts[old] = name
    stage.texts['"compute"'] = f'"{name}"'


def service(stage: Stage) -> None:
    """A compute service of its own, so that disabling it concerns nobody."""
    name = f"lone-{stage.project[:8]}"
    stage.texts["host1"] = name
    with stage.cloud.db.write() as tx:
        tx.services.report_many([("nova-compute", name, "compute")], now())
    found = stage.must("GET", f"/os-services?host={name}")
    stage.names["service"] = found["services"][0]["id"]


def disabled(stage: Stage) -> None:
    """A compute service that is disabled with a reason."""
    service(stage)
    stage.names["host"] = stage.texts["host1"]
    stage.must("PUT", f"/os-services/{stage.names['service']}", {
        "status": "disabled", "disabled_reason": "test2",
    })


def aggregate(stage: Stage) -> None:
    """An aggregate of a zone, and the host for it."""
    host(stage)
    new_aggregate(stage)
    made = stage.must("POST", "/os-aggregates", {"aggregate": {
        "name": f"name-{stage.project}", "availability_zone": "london",
    }})
    stage.names["aggregate"] = str(made["aggregate"]["id"])


def new_aggregate(stage: Stage) -> None:
    """Names that no aggregate has yet."""
    stage.texts['"name": "name"'] = f'"name": "name-{stage.project[:8]}"'
    stage.texts["newname"] = f"newname-{stage.project}"


def held(stage: Stage) -> None:
    """An aggregate that has the host."""
    aggregate(stage)
    _empty_lone_host(stage)
    stage.must("POST", f"/os-aggregates/{stage.names['aggregate']}/action", {
        "add_host": {"host": stage.names["host"]},
    })


def fillable(stage: Stage) -> None:
    """An aggregate, and a host that is in no other."""
    aggregate(stage)
    _empty_lone_host(stage)


def _empty_lone_host(stage: Stage) -> None:
    """Take the host out of the aggregates of earlier samples."""
    for each in stage.must("GET", "/os-aggregates")["aggregates"]:
        if stage.names["host"] in each["hosts"]:
            stage.must("POST", f"/os-aggregates/{each['id']}/action", {
                "remove_host": {"host": stage.names["host"]},
            })


def stopped(stage: Stage) -> None:
    """A server that was stopped, its last action, and times around it."""
    server_cases.running(stage)
    server = stage.names["server"]
    stage.act({"os-stop": None}, until="SHUTOFF")
    actions = stage.must("GET", f"/servers/{server}/os-instance-actions")["instanceActions"]
    stage.names["action"] = actions[0]["request_id"]
    stage.names["oldest"] = actions[-1]["request_id"]
    _times(stage)


def _times(stage: Stage) -> None:
    moment = datetime.datetime.now(datetime.UTC)
    minute = datetime.timedelta(minutes=1)
    stage.names["earlier"] = quote((moment - minute).isoformat())
    stage.names["later"] = quote((moment + minute).isoformat())


def migrated(stage: Stage) -> None:
    """Two servers that were resized, newest last."""
    for name in ("server", "second"):
        server_cases.group(stage)
        stage.boot(name)
        stage.act({"migrate": None}, until="VERIFY_RESIZE", name=name)
        stage.act({"confirmResize": None}, until="ACTIVE", name=name)
    found = stage.must("GET", f"/os-migrations?instance_uuid={stage.names['second']}")
    stage.names["marker"] = found["migrations"][0]["uuid"]
    _times(stage)


def moving_and_migrating(stage: Stage) -> None:
    """A live migration, and a younger migration of another server."""
    moving(stage)
    server_cases.group(stage)
    stage.boot("second")
    stage.must("POST", f"/servers/{stage.names['second']}/action", {"migrate": None})
    found = stage.must("GET", f"/os-migrations?instance_uuid={stage.names['second']}")
    stage.names["marker"] = found["migrations"][0]["uuid"]
    _times(stage)


def moving(stage: Stage) -> None:
    """A server that is being live-migrated."""
    server_cases.running(stage)
    server = stage.names["server"]
    stage.must("POST", f"/servers/{server}/action", {"os-migrateLive": {
        "host": None, "block_migration": "auto",
    }})
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = stage.must("GET", f"/servers/{server}/migrations")["migrations"]
        if found and found[0]["memory_total_bytes"] is not None:
            stage.names["migration"] = str(found[0]["id"])
            stage.names["project_of"] = stage.project
            return
        time.sleep(0.01)
    raise AssertionError("the live migration did not begin")


def downed(stage: Stage) -> None:
    """A server whose host is down, and the name of another."""
    server_cases.elsewhere(stage)
    down = stage.show(stage.names["server"])["OS-EXT-SRV-ATTR:host"]
    service = stage.must("GET", f"/os-services?host={down}&binary=nova-compute")["services"][0]
    path = f"/os-services/{service['id']}"
    stage.must("PUT", path, {"forced_down": True})
    manager = next(each for each in stage.cloud.managers if each.name == down)
    # What a restart of the host does; without it the host stays down.
    stage.undo += [
        lambda: stage.until_task_ends(stage.names["server"]), manager.sync_guests,
        lambda: stage.must("PUT", path, {"forced_down": False}),
    ]


def pinned(stage: Stage) -> None:
    """A server on two NUMA nodes, its CPUs pinned and its pages small."""
    name = f"numa-{stage.project[:12]}"
    stage.must("POST", "/flavors", {"flavor": {
        "name": name, "id": name, "ram": 1024, "vcpus": 4, "disk": 1,
    }})
    stage.must("POST", f"/flavors/{name}/os-extra_specs", {"extra_specs": {
        "hw:numa_nodes": "2", "hw:cpu_policy": "dedicated", "hw:mem_page_size": "small",
        "hw:cpu_thread_policy": "prefer",
    }})
    server_cases.group(stage)
    stage.boot(flavorRef=name)


def console(stage: Stage) -> None:
    """A server."""
    server_cases.running(stage)


def event(stage: Stage) -> None:
    """A server that an event can concern."""
    server_cases.running(stage)
    stage.texts["3df201cf-2451-44f2-8d25-a4ca826fc1f3"] = stage.names["server"]
    stage.texts["test-event"] = "network-changed"


def audited(stage: Stage) -> None:
    """A time of the audit."""
    stage.names["until"] = quote("2012-07-05 10:00:00")


_SERVICE = "/os-services/{service}"
_WITH_SERVERS = "/os-hypervisors?hypervisor_hostname_pattern={host}&with_servers=1"
_AGGREGATE = "/os-aggregates/{aggregate}"
_ACTIONS = "/servers/{server}/os-instance-actions"
_MIGRATIONS = "/os-migrations"

#: The samples' hosts are called by uuids; and no host of this cloud has run an audit.
_HOST_NAMES = frozenset({"hosts_not_run", "log"})
#: The simulated driver measures none of these, as some of the original's do not.
_UNMEASURED = frozenset(
    {
        "dest_host", "utilisation", "rx_rate", "tx_rate",
    }
)

#: The keys of the old diagnostics are names of the driver's devices.
_DEVICES = frozenset({""})

CASES: tuple[Case, ...] = (
    Case("os-hypervisors/hypervisors-list-resp", "GET", "/os-hypervisors?limit=1"),
    Case("os-hypervisors/hypervisors-detail-resp", "GET", "/os-hypervisors/detail?limit=1"),
    Case("os-hypervisors/hypervisors-detail-with-servers-resp", "GET",
         "/os-hypervisors/detail?with_servers=1&hypervisor_hostname_pattern={host}", hypervisor),
    Case("os-hypervisors/hypervisors-show-resp", "GET", "/os-hypervisors/{hypervisor}",
         hypervisor),
    Case("os-hypervisors/hypervisors-show-with-servers-resp", "GET",
         "/os-hypervisors/{hypervisor}?with_servers=1", hypervisor),
    Case("os-hypervisors/hypervisors-statistics-resp", "GET", "/os-hypervisors/statistics"),
    Case("os-hypervisors/hypervisors-uptime-resp", "GET", "/os-hypervisors/{hypervisor}/uptime",
         hypervisor),
    Case("os-hypervisors/hypervisors-search-resp", "GET", "/os-hypervisors/fake-/search",
         path_at=((53, "/os-hypervisors?hypervisor_hostname_pattern=fake-"),)),
    Case("os-hypervisors/hypervisors-with-servers-resp", "GET",
         "/os-hypervisors/{host}/servers", hypervisor, path_at=((53, _WITH_SERVERS),)),
    Case("os-hypervisors/hypervisors-without-servers-resp", "GET",
         "/os-hypervisors/{host}/servers", empty_hypervisor, cloud="vlan",
         path_at=((53, _WITH_SERVERS),)),

    Case("os-hosts/hosts-list-resp", "GET", "/os-hosts"),
    Case("os-hosts/host-get-resp", "GET", "/os-hosts/{host}", host),
    Case("os-hosts/host-get-reboot", "GET", "/os-hosts/{host}/reboot", host),
    Case("os-hosts/host-get-shutdown", "GET", "/os-hosts/{host}/shutdown", host),
    Case("os-hosts/host-get-startup", "GET", "/os-hosts/{host}/startup", host),
    Case("os-hosts/host-put-maintenance-resp", "PUT", "/os-hosts/{host}", host,
         request="os-hosts/host-put-maintenance-req"),

    Case("os-services/services-list-get-resp", "GET", "/os-services?host={host}", disabled),
    *(
        Case(f"os-services/service-{name}-put-resp", "PUT", path,
             disabled if name == "force-down" else service,
             request=f"os-services/service-{name}-put-req", path_at=((53, _SERVICE),))
        for name, path in (
            ("disable-log", "/os-services/disable-log-reason"),
            ("disable", "/os-services/disable"), ("enable", "/os-services/enable"),
            ("force-down", "/os-services/force-down"),
        )
    ),
    Case("os-availability-zone/availability-zone-list-resp", "GET", "/os-availability-zone"),
    Case("os-availability-zone/availability-zone-detail-resp", "GET",
         "/os-availability-zone/detail", maps=frozenset({"hosts", "hosts[]"})),

    Case("os-aggregates/aggregates-list-get-resp", "GET", "/os-aggregates", aggregate),
    Case("os-aggregates/aggregates-get-resp", "GET", _AGGREGATE, held),
    Case("os-aggregates/aggregate-post-resp", "POST", "/os-aggregates", new_aggregate,
         request="os-aggregates/aggregate-post-req"),
    Case("os-aggregates/aggregate-update-post-resp", "PUT", _AGGREGATE, aggregate,
         request="os-aggregates/aggregate-update-post-req"),
    Case("os-aggregates/aggregates-metadata-post-resp", "POST", _AGGREGATE + "/action",
         aggregate, request="os-aggregates/aggregate-metadata-post-req"),
    Case("os-aggregates/aggregates-add-host-post-resp", "POST", _AGGREGATE + "/action",
         fillable, request="os-aggregates/aggregate-add-host-post-req"),
    Case("os-aggregates/aggregates-remove-host-post-resp", "POST", _AGGREGATE + "/action",
         held, request="os-aggregates/aggregate-remove-host-post-req"),
    Case(None, "POST", _AGGREGATE + "/images", held,
         request="os-aggregates/aggregate-images-post-req", status=202),

    Case("os-instance-actions/instance-action-get-resp", "GET", _ACTIONS + "/{action}", stopped),
    Case("os-instance-actions/instance-action-get-non-admin-resp", "GET", _ACTIONS + "/{action}",
         stopped, by="member"),
    Case("os-instance-actions/instance-actions-list-resp", "GET", _ACTIONS, stopped),
    Case("os-instance-actions/instance-actions-list-with-limit-resp", "GET",
         _ACTIONS + "?limit=1", stopped),
    Case("os-instance-actions/instance-actions-list-with-marker-resp", "GET",
         _ACTIONS + "?marker={action}", stopped),
    Case("os-instance-actions/instance-actions-list-with-changes-since", "GET",
         _ACTIONS + "?changes-since={earlier}", stopped),
    Case("os-instance-actions/instance-actions-list-with-changes-before", "GET",
         _ACTIONS + "?changes-before={later}", stopped),

    Case("os-migrations/migrations-get", "GET", _MIGRATIONS + "?instance_uuid={server}",
         moving, only=(23,), cloud="moving"),
    Case("os-migrations/migrations-get", "GET", _MIGRATIONS, migrated),
    Case("os-migrations/migrations-get-with-limit", "GET", _MIGRATIONS + "?limit=1", migrated),
    Case("os-migrations/migrations-get-with-marker", "GET", _MIGRATIONS + "?marker={marker}",
         moving_and_migrating, cloud="moving"),
    Case("os-migrations/migrations-get-with-changes-since", "GET",
         _MIGRATIONS + "?changes-since={earlier}", migrated),
    Case("os-migrations/migrations-get-with-changes-before", "GET",
         _MIGRATIONS + "?changes-before={later}&instance_uuid={server}", moving_and_migrating,
         cloud="moving"),
    Case("os-migrations/migrations-get-with-user-or-project-id", "GET",
         _MIGRATIONS + "?project_id={project}&user_id={user}", migrated),

    Case("server-migrations/migrations-get", "GET", "/servers/{server}/migrations/{migration}",
         moving, cloud="moving", free=_UNMEASURED),
    Case("server-migrations/migrations-index", "GET", "/servers/{server}/migrations", moving,
         cloud="moving", free=_UNMEASURED),
    Case(None, "POST", "/servers/{server}/migrations/{migration}/action", moving, cloud="moving",
         request="server-migrations/force_complete", status=202),
    Case(None, "POST", "/servers/{server}/action", server_cases.elsewhere,
         request="server-migrations/live-migrate-server", status=202),

    Case("os-evacuate/server-evacuate-resp", "POST", "/servers/{server}/action", downed,
         request="os-evacuate/server-evacuate-req", cloud="evacuated"),
    Case("os-evacuate/server-evacuate-find-host-resp", "POST", "/servers/{server}/action", downed,
         request="os-evacuate/server-evacuate-find-host-req", cloud="evacuated"),
    Case("os-server-external-events/event-create-resp", "POST", "/os-server-external-events",
         event, request="os-server-external-events/event-create-req"),
    Case("os-instance-usage-audit-log/inst-usage-audit-log-index-get-resp", "GET",
         "/os-instance_usage_audit_log", audited, free=_HOST_NAMES),
    Case("os-instance-usage-audit-log/inst-usage-audit-log-show-get-resp", "GET",
         "/os-instance_usage_audit_log/{until}", audited, free=_HOST_NAMES),
    Case("os-server-diagnostics/server-diagnostics-get-resp", "GET",
         "/servers/{server}/diagnostics", server_cases.running, maps=_DEVICES, only=(1,)),
    Case("os-server-diagnostics/server-diagnostics-get-resp", "GET",
         "/servers/{server}/diagnostics", server_cases.running, free=_UNMEASURED),
    Case("os-server-topology/servers-topology-resp", "GET", "/servers/{server}/topology",
         pinned, maps=frozenset({"cpu_pinning"})),
    Case("os-server-topology/servers-topology-resp-user", "GET", "/servers/{server}/topology",
         pinned, by="member"),
    Case("os-server-password/get-password-resp", "GET", "/servers/{server}/os-server-password",
         server_cases.running),
)
