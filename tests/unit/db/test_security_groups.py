# SPDX-License-Identifier: Apache-2.0
"""Security groups: rules, members, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nova.db.engine import Transaction
from nova.errors import BadRequest, NotFound
from nova.network import security_groups as groups
from nova.network.security_groups import RuleValues, check_rule
from tests.databases import new_database


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Transaction]:
    database = new_database(tmp_path)
    with database.write() as transaction:
        yield transaction
    database.dispose()


def test_a_project_has_a_default_group_from_its_first_use(tx: Transaction) -> None:
    groups.add_default_rule(tx, check_rule(protocol="tcp", from_port=22, to_port=22))
    with pytest.raises(BadRequest, match="already exists"):
        groups.add_default_rule(tx, check_rule(protocol="tcp", from_port=22, to_port=22))
    (default,) = groups.list_groups(tx, "p", "u")
    assert (default.name, default.project_id, default.user_id) == ("default", "p", "u")
    assert [(rule.protocol, rule.from_port, rule.cidr) for rule in groups.incoming(default)] == [
        ("tcp", 22, "0.0.0.0/0")
    ]
    assert groups.ensure_default(tx, "p") == default
    for call in (
        lambda: groups.delete_group(tx, default),
        lambda: groups.update_group(tx, default, "other", ""),
    ):
        with pytest.raises(BadRequest, match="system group 'default'"):
            call()
    rule_id = tx.security_groups.default_rules()[0].id
    tx.security_groups.delete_default_rule(rule_id)
    with pytest.raises(NotFound):
        tx.security_groups.delete_default_rule(rule_id)


def test_blanks_at_the_ends_of_a_name_are_kept(tx: Transaction) -> None:
    assert groups.create_group(tx, "p", "u", " wéb ", None).name == " wéb "
    assert groups.create_group(tx, "p", "u", "wéb", None).name == "wéb"


def test_groups_are_made_renamed_and_deleted(tx: Transaction) -> None:
    web = groups.create_group(tx, "p", "u", "wéb", None)
    assert (web.name, web.description) == ("wéb", "")
    other = groups.create_group(tx, "p", "u", "other", "more")
    with pytest.raises(BadRequest, match="wéb already exists"):
        groups.create_group(tx, "p", "u", "wéb", "")
    with pytest.raises(BadRequest, match="wéb already exists"):
        groups.update_group(tx, other, "wéb", "")
    assert groups.create_group(tx, "q", "u", "wéb", "").id != web.id
    assert groups.update_group(tx, other, "new", "text").name == "new"
    assert [each.name for each in groups.list_groups(tx, "p")] == ["default", "new", "wéb"]
    assert tx.security_groups.count_of("p") == 3
    assert len(tx.security_groups.every()) == 5
    with pytest.raises(NotFound):
        groups.get_group(tx, "q", web.id)
    with pytest.raises(BadRequest, match="should be integer"):
        groups.get_group(tx, "p", "nonsense")
    tx.security_groups.add_members([(web.id, "i")])
    with pytest.raises(BadRequest, match="still in use"):
        groups.delete_group(tx, web)
    tx.security_groups.remove_instances(["i"])
    groups.delete_group(tx, web)
    with pytest.raises(NotFound):
        groups.get_group(tx, "p", web.id)


@pytest.mark.parametrize("name", ["", "  ", "x" * 256, 7, None])
def test_a_bad_name_is_refused(tx: Transaction, name: Any) -> None:
    with pytest.raises(BadRequest, match="name"):
        groups.create_group(tx, "p", "u", name, "")
    with pytest.raises(BadRequest, match="description"):
        groups.create_group(tx, "p", "u", "fine", "x" * 256)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (("tcp", 80, 80, "10.0.0.0/8"), ("tcp", 80, 80, "10.0.0.0/8")),
        (("TCP", "80", "81", None), ("tcp", 80, 81, "0.0.0.0/0")),
        (("icmp", -1, -1, ""), ("icmp", -1, -1, "0.0.0.0/0")),
        (("icmp", 8, 0, "10.0.0.1"), ("icmp", 8, 0, "10.0.0.1/32")),
        (("udp", 1, 65535, "fd00::/8"), ("udp", 1, 65535, "fd00::/8")),
    ],
)
def test_rules_for_ranges(given: tuple[Any, ...], stored: tuple[Any, ...]) -> None:
    protocol, first, last, cidr = given
    rule = check_rule(protocol=protocol, from_port=first, to_port=last, cidr=cidr)
    assert (rule.protocol, rule.from_port, rule.to_port, rule.cidr) == stored


def test_rules_for_groups_may_leave_ports_out() -> None:
    def made(*given: Any) -> RuleValues:
        protocol, first, last = given
        return check_rule(protocol=protocol, from_port=first, to_port=last, source_group_id=3)

    assert made(None, None, None) == RuleValues(source_group_id=3)
    assert (made("tcp", None, None).from_port, made("udp", None, None).to_port) == (1, 65535)
    assert made("icmp", None, None).from_port == -1
    assert made("tcp", 5, 6) == RuleValues(
        protocol="tcp", from_port=5, to_port=6, source_group_id=3
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("tcp", None, None, None), "Not enough parameters"),
        ((None, 1, 2, None), "Not enough parameters"),
        (("tcp", "x", 2, None), "ports must be integers"),
        (("icmp", "x", 2, None), "Type and Code"),
        (("sctp", 1, 2, None), "Invalid IP protocol sctp"),
        (("tcp", 3, 2, None), "3:2.*Former value"),
        (("tcp", 0, 2, None), "1-65535"),
        (("udp", 1, 65536, None), "1-65535"),
        (("icmp", 256, 0, None), "type:code"),
        (("tcp", 1, 2, "10.0.0.0/40"), "not a valid ip network"),
        (("tcp", 1, 2, "10.0.0.0/0"), "Bad prefix"),
        (("tcp", 1, 2, "fe80::%\nflush ruleset/64"), "not a valid ip network"),
    ],
)
def test_bad_rules_are_refused(given: tuple[Any, ...], said: str) -> None:
    protocol, first, last, cidr = given
    with pytest.raises(BadRequest, match=said):
        check_rule(protocol=protocol, from_port=first, to_port=last, cidr=cidr)


def test_rules_are_added_once_and_removed_by_their_project(tx: Transaction) -> None:
    web = groups.create_group(tx, "p", "u", "web", "")
    ssh = check_rule(protocol="tcp", from_port=22, to_port=22)
    rule = groups.add_rule(tx, web, ssh)
    web = groups.get_group(tx, "p", web.id)
    assert groups.incoming(web) == [rule]
    assert [(each.direction, each.ethertype) for each in web.rules[:2]] == [
        ("egress", "IPv4"), ("egress", "IPv6")
    ], "a new group lets everything out"
    with pytest.raises(BadRequest, match=f"already exists in group {web.id}"):
        groups.add_rule(tx, web, ssh)
    own = check_rule(protocol=None, from_port=None, to_port=None, source_group_id=web.id)
    from_group = groups.add_rule(tx, web, own)
    assert (from_group.source_group_name, from_group.source_group_project) == ("web", "p")
    with pytest.raises(NotFound):
        groups.add_rule(tx, web, RuleValues(source_group_id=999))
    with pytest.raises(NotFound):
        groups.delete_rule(tx, "q", rule.id)
    with pytest.raises(BadRequest, match="integer"):
        groups.delete_rule(tx, "p", "nonsense")
    assert groups.delete_rule(tx, "p", str(rule.id)).id == web.id
    with pytest.raises(NotFound):
        groups.delete_rule(tx, "p", rule.id)
    assert groups.incoming(groups.get_group(tx, "p", web.id)) == [from_group]


def test_a_deleted_group_takes_the_rules_that_name_it(tx: Transaction) -> None:
    web = groups.create_group(tx, "p", "u", "web", "")
    db = groups.create_group(tx, "p", "u", "db", "")
    groups.add_rule(tx, db, RuleValues(source_group_id=web.id))
    groups.delete_group(tx, web)
    assert groups.incoming(groups.get_group(tx, "p", db.id)) == []


def test_names_become_ids_or_a_refusal(tx: Transaction) -> None:
    web = groups.create_group(tx, "p", "u", "web", "")
    ids = groups.resolve(tx, "p", ["web", "default", "web"])
    assert ids == [web.id, groups.ensure_default(tx, "p").id]
    assert groups.resolve(tx, "new", ["default"], "u")
    with pytest.raises(BadRequest, match="nonsense not found for project p"):
        groups.resolve(tx, "p", ["web", "nonsense"])
    assert groups.resolve(tx, "p", []) == []


def test_members_come_and_go(tx: Transaction) -> None:
    web = groups.create_group(tx, "p", "u", "web", "")
    default = groups.ensure_default(tx, "p")
    for _ in range(2):
        tx.security_groups.add_members([(web.id, "i"), (default.id, "i"), (default.id, "j")])
    assert tx.security_groups.names_of(["i", "j", "k"]) == {
        "i": ["default", "web"], "j": ["default"], "k": [],
    }
    assert {each.name for each in tx.security_groups.of_instance("i")} == {"web", "default"}
    assert tx.security_groups.members_of([web.id, 99]) == {web.id: ["i"], 99: []}
    assert groups.add_to_instance(tx, "p", "j", "web") == ["default", "web"]
    with pytest.raises(BadRequest, match="already associated"):
        groups.add_to_instance(tx, "p", "j", "web")
    assert groups.remove_from_instance(tx, "p", "j", "default") == ["web"]
    with pytest.raises(BadRequest, match="not associated"):
        groups.remove_from_instance(tx, "p", "j", "default")
    with pytest.raises(NotFound):
        groups.add_to_instance(tx, "p", "j", "nonsense")
    tx.security_groups.remove_instances(["i", "j"])
    assert tx.security_groups.names_of(["i"]) == {"i": []}
