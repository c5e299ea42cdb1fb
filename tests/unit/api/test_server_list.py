# SPDX-License-Identifier: Apache-2.0
"""Lists of servers: filters, order, pages, rights."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from sqlalchemy import event

from nova.db.engine import Database
from nova.objects.instance import Address, Vif
from nova.objects.listing import ServerQuery, SortKey
from tests.unit.api.conftest import OTHER_PROJECT, PROJECT, Api, message
from tests.unit.api.list_plans import plan_of_list
from tests.unit.api.server_rows import MOMENT, add_servers, server_row


def at_second(number: int) -> datetime.datetime:
    return MOMENT + datetime.timedelta(seconds=number)


def vif(address: str, version: int = 4) -> tuple[Vif, ...]:
    return (
        Vif(
            id="v", mac="fa:16:3e:00:00:02", network_id="n", label="net",
            addresses=(Address(address, version),),
        ),
    )


def names(api: Api, query: str = "", **options: Any) -> list[str]:
    answer = api.get(f"/servers{query}", **options)
    assert answer.status_code == 200, answer.text
    return [server["name"] for server in answer.json["servers"]]


@pytest.fixture
def servers(db: Database) -> dict[str, str]:
    """Servers of two projects, oldest first: web1, web2, db.one, busy, soft, other, gone."""
    rows = [
        server_row(
            name="web1", created_at=at_second(1), metadata={"tier": "front"}, tags=["a", "b"],
            network_info=vif("10.0.0.11"),
        ),
        server_row(
            name="web2", created_at=at_second(2), vm_state="stopped", host="host2",
            tags=["b"], locked_by="owner", network_info=vif("10.0.0.12"),
        ),
        server_row(
            name="db.one", created_at=at_second(3), key_name="kä", flavorid="7",
            image_ref="155d900f-4e14-4e4c-a73d-069cbf4541e6", network_info=vif("fd00::5", 6),
            reservation_id="r-zzzzzzzz", user_id="somebody",
        ),
        server_row(
            name="busy", created_at=at_second(4), task_state="rebooting", description="Ünïcode",
        ),
        server_row(name="soft", created_at=at_second(5), vm_state="soft-delete"),
        server_row(name="other", created_at=at_second(6), project_id=OTHER_PROJECT),
        server_row(
            name="gone", created_at=at_second(7), updated_at=at_second(100), deleted=1,
            vm_state="deleted", host=None,
        ),
    ]
    return dict(zip([row["name"] for row in rows], add_servers(db, *rows), strict=True))


def test_newest_first_and_only_ones_own(server_api: Api, servers: dict[str, str]) -> None:
    assert names(server_api) == ["busy", "db.one", "web2", "web1"]
    assert names(server_api, token="other") == ["other"]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("?name=web", ["web2", "web1"]), ("?name=^web1$", ["web1"]), ("?name=w.b[2]", ["web2"]),
        ("?name=db.one", ["db.one"]), ("?name=nothing", []), ("?status=ACTIVE", ["db.one", "web1"]),
        ("?status=SHUTOFF", ["web2"]), ("?status=reboot", ["busy"]),
        ("?status=ACTIVE&status=SHUTOFF", ["db.one", "web2", "web1"]),
        ("?status=SOFT_DELETED", ["soft"]), ("?flavor=7", ["db.one"]),
        ("?flavor=http://x/flavors/7", ["db.one"]),
        ("?image=155d900f-4e14-4e4c-a73d-069cbf4541e6", ["db.one"]),
        ("?ip=10.0.0.1", ["web2", "web1"]), ("?ip=10.0.0.12", ["web2"]),
        ("?reservation_id=r-zzzzzzzz", ["db.one"]), ("?host=host2", []),
    ],
)
def test_filters_for_everybody(
    server_api: Api, servers: dict[str, str], query: str, wanted: list[str]
) -> None:
    if query == "?host=host2":
        wanted = ["busy", "db.one", "web2", "web1"]
    found = names(server_api, query)
    if query == "?ip=10.0.0.1":
        found = [name for name in found if name != "busy"]
    assert found == wanted


@pytest.mark.parametrize(
    ("query", "at", "wanted"),
    [
        ("?ip6=fd00", 5, ["db.one"]), ("?tags=b", 26, ["web2", "web1"]),
        ("?tags=a,b", 26, ["web1"]), ("?tags-any=a,zz", 26, ["web1"]),
        ("?not-tags=a,b", 26, ["busy", "db.one", "web2"]),
        ("?not-tags-any=a,b", 26, ["busy", "db.one"]), ("?locked=true", 73, ["web2"]),
        ("?locked=False", 73, ["busy", "db.one", "web1"]),
        ("?key_name=k%C3%A4", 83, ["db.one"]), ("?user_id=somebody", 83, ["db.one"]),
        ("?vm_state=stopped", 83, ["web2"]), ("?task_state=rebooting", 83, ["busy"]),
        ("?power_state=1", 83, ["busy", "db.one", "web2", "web1"]), ("?hostname=^x", 90, []),
    ],
)
def test_filters_of_later_versions(
    server_api: Api, servers: dict[str, str], query: str, at: int, wanted: list[str]
) -> None:
    assert names(server_api, query, at=at) == wanted
    before = server_api.get(f"/servers{query}", at=at - 1)
    if before.status_code == 200:
        found = [server["name"] for server in before.json["servers"]]
        assert found == ["busy", "db.one", "web2", "web1"], "the filter is not known yet"
    else:
        assert before.status_code == 400


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("?host=host2", ["web2"]), ("?node=node1&name=web1", ["web1"]),
        ("?description=%C3%9Cn", ["busy"]), ("?all_tenants=1&name=other", ["other"]),
        (f"?all_tenants=True&project_id={OTHER_PROJECT}", ["other"]),
        (f"?all_tenants=&tenant_id={OTHER_PROJECT}", ["other"]),
        ("?deleted=true", ["gone", "soft"]), ("?status=DELETED", ["gone"]),
        ("?uuid=00000000-0000-4000-8000-000000000000", []), ("?launch_index=0&name=web1", ["web1"]),
    ],
)
def test_filters_of_administrators(
    server_api: Api, servers: dict[str, str], query: str, wanted: list[str]
) -> None:
    assert names(server_api, query, token="admin") == wanted


@pytest.mark.parametrize(
    ("query", "at", "status"),
    [
        ("?name=[", 1, 400), ("?name=(a%2B)%2B$", 1, 400), ("?ip=(", 1, 400),
        ("?status=NONSENSE", 38, 400), ("?limit=-1", 1, 400), ("?limit=x", 1, 400),
        ("?marker=nothing", 1, 400), ("?sort_dir=sideways", 1, 400),
        ("?sort_key=nonsense", 1, 400), ("?sort_key=vcpus", 75, 400), ("?nonsense=1", 75, 400),
        ("?sort_key=host", 1, 403), ("?all_tenants=1", 1, 403), ("?all_tenants=x", 1, 400),
        ("?changes-since=yesterday", 1, 400), ("?status=DELETED", 1, 403),
        ("?changes-since=2026-02-01T00:00:00&changes-before=2026-01-01T00:00:00", 66, 400),
        ("?locked=maybe", 73, 400), ("?name=%00", 1, 400), ("?name=%FF", 1, 400),
        ("?sort_key=uuid&sort_dir=asc&sort_dir=asc", 1, 400),
    ],
)
def test_bad_queries_are_refused(
    server_api: Api, servers: dict[str, str], query: str, at: int, status: int
) -> None:
    for path in ("/servers", "/servers/detail"):
        answer = server_api.get(path + query, at=at)
        assert answer.status_code == status, answer.text
        assert message(answer)


def test_administrators_cannot_filter_by_joined_tables(
    server_api: Api, servers: dict[str, str]
) -> None:
    assert server_api.get("/servers?metadata=x", token="admin").status_code == 400
    assert names(server_api, "?metadata=x") == ["busy", "db.one", "web2", "web1"]
    assert names(server_api, "?nonsense=x&limit=1") == ["busy"]


def test_the_legacy_api_filters_by_metadata(server_api: Api, servers: dict[str, str]) -> None:
    query = '?metadata={"tier":"front"}'
    assert names(server_api, query, at="v2", token="admin") == ["web1"]


def test_an_unknown_status_finds_nothing_before_it_is_refused(
    server_api: Api, servers: dict[str, str]
) -> None:
    assert names(server_api, "?status=NONSENSE", at=37) == []


def test_changes_since_shows_deleted_servers(server_api: Api, servers: dict[str, str]) -> None:
    since = at_second(50).isoformat()
    assert names(server_api, f"?changes-since={since}") == ["gone"]
    before = f"?changes-since=2020-01-01T00:00:00Z&changes-before={at_second(50).isoformat()}"
    assert "gone" not in names(server_api, before, at=66)
    assert "gone" in names(server_api, before, at=65)


@pytest.mark.parametrize("query", ["", "?sort_key=display_name&sort_dir=asc",
                                   "?sort_key=key_name&sort_dir=desc",
                                   "?sort_key=task_state&sort_key=uuid&sort_dir=asc",
                                   "?sort_key=vm_state"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages_together_are_the_whole_list(
    server_api: Api, servers: dict[str, str], query: str, size: int
) -> None:
    whole = [s["id"] for s in server_api.get(f"/servers{query}").json["servers"]]
    assert len(whole) == 4
    found: list[str] = []
    glue = "&" if query else "?"
    url: str | None = f"/servers{query}{glue}limit={size}"
    while url is not None:
        answer = server_api.get(url).json
        found.extend(server["id"] for server in answer["servers"])
        links = answer.get("servers_links")
        url = None if links is None else links[0]["href"].partition(PROJECT)[2]
    assert found == whole


def test_sorted_by_name(server_api: Api, servers: dict[str, str]) -> None:
    query = "?sort_key=display_name&sort_dir=asc"
    assert names(server_api, query) == ["busy", "db.one", "web1", "web2"]
    assert names(server_api, "?sort_key=locked&sort_dir=desc", at=73)[0] == "web2"
    assert names(server_api, "?sort_key=vcpus", at=74) == ["busy", "db.one", "web2", "web1"]


def test_limit_zero_is_an_empty_page(server_api: Api, servers: dict[str, str]) -> None:
    assert names(server_api, "?limit=0") == []


def test_a_huge_page_is_cut_at_the_most(
    server_api: Api, servers: dict[str, str]
) -> None:
    assert len(names(server_api, "?limit=2000000000")) == 4


def test_detail_gives_whole_servers_in_order(server_api: Api, servers: dict[str, str]) -> None:
    answer = server_api.get("/servers/detail?limit=2", at=75).json
    assert [server["name"] for server in answer["servers"]] == ["busy", "db.one"]
    assert answer["servers"][0]["status"] == "REBOOT"
    assert answer["servers_links"][0]["rel"] == "next"


def test_deleted_servers_are_shown_as_such(server_api: Api, servers: dict[str, str]) -> None:
    answer = server_api.get("/servers/detail?deleted=1&name=gone", token="admin").json
    assert [server["status"] for server in answer["servers"]] == ["DELETED"]


def test_the_main_lists_use_an_index_and_sort_nothing(
    db: Database, servers: dict[str, str]
) -> None:
    first = ServerQuery(project_id=PROJECT, limit=10)
    later = ServerQuery(project_id=PROJECT, limit=10, marker=servers["web2"])
    everything = ServerQuery(limit=10)
    by_name = ServerQuery(project_id=PROJECT, limit=10, patterns={"name": ("web",)})
    for query in (first, later, by_name):
        plan = plan_of_list(db, query)
        assert "ix_instances_project_listing" in plan, plan
        assert "TEMP B-TREE" not in plan, plan
    plan = plan_of_list(db, everything)
    assert "ix_instances_listing" in plan, plan
    assert "TEMP B-TREE" not in plan, plan


def test_a_warm_list_reads_no_rows_whole(server_api: Api, db: Database) -> None:
    add_servers(db, *(server_row(name=f"s{number}") for number in range(50)))
    server_api.get("/servers/detail")
    statements: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    answer = server_api.get("/servers/detail")
    event.remove(db.engine, "before_cursor_execute", note)
    assert len(answer.json["servers"]) == 50
    selects = [statement for statement in statements if statement.startswith("SELECT")]
    assert len(selects) == 1
    assert "network_info" not in selects[0]


def test_order_is_total_where_times_are_equal(db: Database) -> None:
    uuids = add_servers(db, *(server_row(name="same") for _ in range(5)))
    query = ServerQuery(project_id=PROJECT, sort=(SortKey("name", descending=False),))
    with db.read() as tx:
        lines = tx.listing.lines(query)
    assert lines is not None
    assert [line.uuid for line in lines] == uuids
