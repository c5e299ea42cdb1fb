# SPDX-License-Identifier: Apache-2.0
"""Tables of nftables as values: rendered whole, compared, and changed in one transaction.

Every change, however large, is one script; the kernel takes all of it or nothing
(https://wiki.nftables.org, "Atomic rule replacement"). A table carries the digest of what it is to hold,
so that a process that starts again sees that nothing is to be done.
"""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import logging
from collections.abc import Iterable, Mapping, Sequence

from nova.network.linux.libnftables import FilterError, NftCommands

LOG = logging.getLogger(__name__)

#: A set of one element, 128 bits of the digest written as an address: what nft finds fastest.
_DIGEST = "digest"


@dataclasses.dataclass(frozen=True)
class Chain:
    """Rules in their order; a base chain also says where it hooks in."""

    rules: tuple[str, ...] = ()
    hook: str | None = None


@dataclasses.dataclass(frozen=True)
class ElementSet:
    """A set, or with ``values`` in its elements a map. The key of each element is what nft compares."""

    type: str
    elements: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    map: bool = False
    flags: str | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of one family. ``digest`` stands for all that it holds: ``digest_of`` what it is made from."""

    family: str
    name: str
    sets: Mapping[str, ElementSet] = dataclasses.field(default_factory=dict)
    chains: Mapping[str, Chain] = dataclasses.field(default_factory=dict)
    digest: str = "::"

    @property
    def path(self) -> str:
        """How commands name it."""
        return f"{self.family} {self.name}"


def digest_of(content: bytes) -> str:
    """A digest in the form of an IPv6 address, which nft takes for an element of a set."""
    return str(ipaddress.IPv6Address(hashlib.sha256(content).digest()[:16]))


def whole(table: Table) -> list[str]:
    """The commands that put a table in the place of whatever has its name."""
    path = table.path
    return [
        f"add table {path}", f"delete table {path}", f"add table {path}", *_definition(table),
        f"add set {path} {_DIGEST} {{ type ipv6_addr; }}",
        f"add element {path} {_DIGEST} {{ {table.digest} }}",
    ]


def changes(before: Table, after: Table) -> list[str]:
    """The commands that make one table of the other; none where they are the same.

    What refers to a set or chain is added after it and removed before it.
    """
    path = after.path
    if _bases(before) != _bases(after) or _shapes(before) != _shapes(after):
        return whole(after)
    old, new = before.digest, after.digest
    if old == new:
        return []
    lines = []
    for name in after.sets.keys() - before.sets.keys():
        lines.append(_declared_set(path, name, after.sets[name]))
    for name in after.chains.keys() - before.chains.keys():
        lines.append(f"add chain {path} {name}")
    # Elements of a map may lead to chains that go, rules to sets that go: both go first.
    for name, wanted in after.sets.items():
        present = before.sets[name].elements if name in before.sets else {}
        lost = [key for key, value in present.items() if wanted.elements.get(key, _ABSENT) != value]
        gained = {
            key: value for key, value in wanted.elements.items() if present.get(key, _ABSENT) != value
        }
        lines += _elements("delete", path, name, dict.fromkeys(lost))
        lines += _elements("add", path, name, gained)
    for name, chain in after.chains.items():
        known = before.chains.get(name)
        if known == chain:
            continue
        if known is not None:
            lines.append(f"flush chain {path} {name}")
        lines += [f"add rule {path} {name} {rule}" for rule in chain.rules]
    gone = before.chains.keys() - after.chains.keys()
    lines += [f"flush chain {path} {name}" for name in gone]
    lines += [f"delete chain {path} {name}" for name in gone]
    lines += [f"delete set {path} {name}" for name in before.sets.keys() - after.sets.keys()]
    return [
        *lines, f"delete element {path} {_DIGEST} {{ {old} }}", f"add element {path} {_DIGEST} {{ {new} }}",
    ]


_ABSENT = "\0"


def _bases(table: Table) -> dict[str, str]:
    return {name: chain.hook for name, chain in table.chains.items() if chain.hook is not None}


def _shapes(table: Table) -> dict[str, tuple[str, bool, str | None]]:
    """Maps stand for the whole life of a table; a plain set may come and go."""
    return {name: (each.type, each.map, each.flags) for name, each in table.sets.items() if each.map}


def _definition(table: Table) -> list[str]:
    path = table.path
    lines = [_declared_set(path, name, table.sets[name]) for name in sorted(table.sets)]
    for name in sorted(table.chains):
        hook = table.chains[name].hook
        lines.append(f"add chain {path} {name}" + (f" {{ {hook} }}" if hook else ""))
    for name in sorted(table.sets):
        lines += _elements("add", path, name, table.sets[name].elements)
    for name in sorted(table.chains):
        lines += [f"add rule {path} {name} {rule}" for rule in table.chains[name].rules]
    return lines


def _declared_set(path: str, name: str, each: ElementSet) -> str:
    flags = f" flags {each.flags};" if each.flags else ""
    return f"add {'map' if each.map else 'set'} {path} {name} {{ type {each.type};{flags} }}"


def _elements(verb: str, path: str, name: str, elements: Mapping[str, str | None]) -> list[str]:
    if not elements:
        return []
    listed = ", ".join(
        key if value is None else f"{key} : {value}" for key, value in sorted(elements.items())
    )
    return [f"{verb} element {path} {name} {{ {listed} }}"]


class Nftables:
    """The kernel's tables. Not for use by several threads at once."""

    def __init__(self) -> None:
        self._commands = NftCommands()
        self._applied: dict[str, Table] = {}

    def apply(self, tables: Iterable[Table]) -> int:
        """Make the kernel's tables these; returns how many commands that took, 0 where they were so.

        All of it is one transaction. Raises ``FilterError`` where the kernel refuses; nothing changed then.
        """
        wanted = {table.path: table for table in tables}
        lines: list[str] = []
        for path, table in wanted.items():
            known = self._applied.get(path)
            lines += changes(known, table) if known is not None else self._adopted(table)
        if not lines:
            self._applied |= wanted
            return 0
        try:
            self._run(lines)
        except FilterError:
            if all(path not in self._applied for path in wanted):
                raise
            # Somebody else changed the tables: put all of them in anew.
            LOG.warning("the tables %s were not as they were left; they are set up anew", list(wanted))
            self._applied.clear()
            lines = [line for table in wanted.values() for line in whole(table)]
            self._run(lines)
        self._applied |= wanted
        return len(lines)

    def check(self, tables: Iterable[Table]) -> bool:
        """Whether the kernel still has these tables; what it lost is set up by the next ``apply``."""
        there = True
        for table in tables:
            if not self._holds(table):
                self._applied.pop(table.path, None)
                there = False
        return there

    def remove(self, tables: Iterable[Table]) -> None:
        """Take tables away; those that are not there are no error."""
        lines = [
            f"{verb} table {table.path}" for table in tables for verb in ("add", "delete")
        ]
        self._run(lines)
        self._applied.clear()

    def _adopted(self, table: Table) -> list[str]:
        """The commands for a table that this process has not written: none where it is there already."""
        return [] if self._holds(table) else whole(table)

    def _holds(self, table: Table) -> bool:
        try:
            self._commands.run(f"get element {table.path} {_DIGEST} {{ {table.digest} }}")
        except FilterError:
            return False
        return True

    def _run(self, lines: Sequence[str]) -> None:
        try:
            self._commands.run("\n".join(lines) + "\n")
        except FilterError as error:
            LOG.error("%s", error.message)
            raise
