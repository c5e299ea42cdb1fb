# SPDX-License-Identifier: Apache-2.0
"""Whom a change of a security group, of its members or of a floating address concerns.

Only the hosts that have a guest whose traffic is decided anew are told; ``NetworkRefreshes`` sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nova.network.refreshes import NetworkRefreshes

if TYPE_CHECKING:
    from nova.db.engine import Transaction

#: Kind of refresh that the hosts' packet filters know.
FILTERS = "filters"


def group_changed(refreshes: NetworkRefreshes | None, tx: Transaction, group_id: int) -> None:
    """A group's rules changed: the hosts with a guest in it look anew."""
    hosts = _listening(refreshes, tx)
    if hosts:
        _tell(refreshes, tx, tx.host_filters.hosts_with_groups([group_id]) & hosts)


def members_changed(
    refreshes: NetworkRefreshes | None,
    tx: Transaction,
    instance_uuids: Sequence[str],
    group_ids: Sequence[int] = (),
) -> None:
    """Servers came into groups or left them, or their addresses or floating addresses changed.

    Their own hosts look anew, and those with a rule for members of their groups: the groups that they are
    in now and ``group_ids``, which they were in before.
    """
    hosts = _listening(refreshes, tx)
    if not hosts:
        return
    found = tx.host_filters.hosts_of(instance_uuids) if instance_uuids else set()
    found |= _naming(tx, instance_uuids, group_ids)
    _tell(refreshes, tx, found & hosts)


def addresses_changed(
    refreshes: NetworkRefreshes | None, tx: Transaction, instance_uuids: Sequence[str]
) -> None:
    """New servers got addresses: hosts with a rule for members of their groups look anew.

    The servers' own hosts do so by themselves, before the guests start.
    """
    hosts = _listening(refreshes, tx)
    if hosts and instance_uuids:
        _tell(refreshes, tx, _naming(tx, instance_uuids, ()) & hosts)


def _naming(tx: Transaction, instance_uuids: Sequence[str], group_ids: Sequence[int]) -> set[str]:
    groups = {*group_ids, *(tx.host_filters.groups_of(instance_uuids) if instance_uuids else ())}
    return tx.host_filters.hosts_naming_groups(sorted(groups)) if groups else set()


def _listening(refreshes: NetworkRefreshes | None, tx: Transaction) -> frozenset[str]:
    return refreshes.listening(tx) if refreshes is not None else frozenset()


def _tell(refreshes: NetworkRefreshes | None, tx: Transaction, hosts: Iterable[str]) -> None:
    assert refreshes is not None
    for host in sorted(hosts):
        refreshes.tell(tx, host, FILTERS, ())
