# SPDX-License-Identifier: Apache-2.0
"""A change whose transaction a database server ended is made by the next try: once, and told once.

On several servers of a Galera cluster, two that write the same rows at once is a deadlock at the commit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nova.db.engine import Database, Transaction
from nova.errors import DatabaseBusy
from tests.unit.api.conftest import PROJECT, Api, Told

ROOT = Path(__file__).parents[3]


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first try of each change is ended at its commit; what was changed by it is gone."""
    run, functions = Database.run, []

    def run_ended(self: Database, function: Callable[[Transaction], Any]) -> Any:
        tries: list[int] = []

        def once_ended(tx: Transaction) -> Any:
            answer = function(tx)
            tries.append(1)
            if len(tries) == 1:
                raise DatabaseBusy
            return answer

        functions.append(function.__qualname__)
        return run(self, once_ended)

    monkeypatch.setattr(Database, "run", run_ended)
    return functions


#: Requests in their order, and their status. Each is of an administrator, at 2.1.
_REQUESTS: tuple[tuple[str, str, Any, int], ...] = (
    ("POST", "/flavors", {"flavor": {"name": "größe", "id": "7", "ram": 64, "vcpus": 1, "disk": 1,
                                     "os-flavor-access:is_public": False}}, 200),
    ("POST", "/flavors/7/os-extra_specs", {"extra_specs": {"a": "b"}}, 200),
    ("DELETE", "/flavors/7/os-extra_specs/a", None, 200),
    ("POST", "/flavors/7/action", {"addTenantAccess": {"tenant": "p"}}, 200),
    ("POST", "/flavors/7/action", {"removeTenantAccess": {"tenant": "p"}}, 200),
    ("DELETE", "/flavors/7", None, 202),
    ("POST", "/os-aggregates", {"aggregate": {"name": "räck"}}, 200),
    ("PUT", "/os-aggregates/1", {"aggregate": {"availability_zone": " zön "}}, 400),
    ("PUT", "/os-aggregates/1", {"aggregate": {"availability_zone": "zön"}}, 200),
    ("POST", "/os-aggregates/1/action", {"set_metadata": {"metadata": {"a": "b"}}}, 200),
    ("DELETE", "/os-aggregates/1", None, 200),
    ("POST", "/os-keypairs", {"keypair": {"name": "schlüssel"}}, 400),
    ("POST", "/os-keypairs", {"keypair": {"name": "key"}}, 200),
    ("DELETE", "/os-keypairs/key", None, 202),
    ("PUT", f"/os-quota-sets/{PROJECT}", {"quota_set": {"cores": 7}}, 200),
    ("DELETE", f"/os-quota-sets/{PROJECT}", None, 202),
    ("PUT", "/os-quota-class-sets/default", {"quota_class_set": {"cores": 7}}, 200),
    ("GET", "/os-security-groups", None, 200),
    ("POST", "/os-security-groups", {"security_group": {"name": "wëb", "description": ""}}, 200),
    ("PUT", "/os-security-groups/2", {"security_group": {"name": "web", "description": ""}}, 200),
    ("POST", "/os-security-group-rules", {"security_group_rule": {
        "parent_group_id": 2, "ip_protocol": "tcp", "from_port": 1, "to_port": 2}}, 200),
    ("DELETE", "/os-security-group-rules/RULE", None, 202),
    ("DELETE", "/os-security-groups/2", None, 202),
    ("POST", "/os-server-groups", {"server_group": {"name": "grüppe", "policies": ["affinity"]}}, 200),
    ("DELETE", "/os-server-groups/GROUP", None, 204),
    ("POST", "/os-networks", {"network": {"label": "nëtz", "cidr": "10.7.0.0/24", "bridge": "br7"}}, 200),
    ("POST", "/os-fixed-ips/10.7.0.9/action", {"reserve": None}, 202),
    ("DELETE", "/os-networks/NETWORK", None, 202),
    ("POST", "/os-floating-ips-bulk", {"floating_ips_bulk_create": {"ip_range": "203.0.113.0/30"}}, 200),
    ("POST", "/os-floating-ips", {"pool": "nova"}, 200),
    ("DELETE", "/os-floating-ips/FLOATING", None, 202),
    ("PUT", "/os-floating-ips-bulk/delete", {"ip_range": "203.0.113.0/30"}, 200),
    ("PUT", "/os-floating-ip-dns/example.org", {"domain_entry": {"scope": "public"}}, 200),
    ("PUT", "/os-floating-ip-dns/example.org/entries/www",
     {"dns_entry": {"ip": "203.0.113.1", "dns_type": "A"}}, 200),
    ("DELETE", "/os-floating-ip-dns/example.org/entries/www", None, 202),
    ("DELETE", "/os-floating-ip-dns/example.org", None, 202),
)


def _named(path: str, made: dict[str, str]) -> str:
    for name, identifier in made.items():
        path = path.replace(name, identifier)
    return path


def test_every_change_is_tried_again(api: Api, told: Told, ended: list[str], db: Database) -> None:
    made: dict[str, str] = {}
    kinds = {"security_group_rule": "RULE", "server_group": "GROUP", "network": "NETWORK",
             "floating_ip": "FLOATING"}
    for method, path, body, status in _REQUESTS:
        before = len(ended)
        answer = api.request(method, _named(path, made), body=body)
        assert answer.status_code == status, (method, path, answer.text)
        if status < 400:
            assert len(ended) > before, f"{method} {path} does not try again"
            for kind, name in kinds.items():
                if method == "POST" and answer.text and kind in answer.json:
                    made[name] = str(answer.json[kind]["id"])
    assert (told.aggregates, told.networks, told.security_groups) == (4, 3, 3)
    # What was made is gone, and so is what was counted for it.
    with db.read() as tx:
        usage = tx.quotas.usage(PROJECT)
        assert (usage.security_groups, usage.server_groups, usage.floating_ips) == (1, 0, 0)
        assert [each.name for each in tx.security_groups.of_project(PROJECT)] == ["default"]
        assert tx.networks.every() == []
        assert tx.aggregates.list() == []


def test_what_users_ask_for_is_written_by_run() -> None:
    """``db.write()`` answers 503 to whoever lost; side effects do not belong into a transaction."""
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for room in (
            "api", "cmd", "compute", "conductor", "identity", "image", "network", "scheduler", "volume"
        )
        for path in sorted((ROOT / "nova" / room).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"\bdb\.write\(\)", line)
    ]
    assert found == []
