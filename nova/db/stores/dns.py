# SPDX-License-Identifier: Apache-2.0
"""DNS domains, and the names in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, true, update
from sqlalchemy.exc import IntegrityError

from nova.db.schema.compute import instances
from nova.db.schema.network import dns_domains, dns_entries, fixed_ips, floating_ips
from nova.errors import NotFound
from nova.objects.dns import PRIVATE, DnsDomain, DnsEntry

_domain = dns_domains.c
_entry = dns_entries.c

#: Values of one IN list.
_BATCH = 500

_SERVERS = (
    select(instances.c.uuid, instances.c.hostname, instances.c.host, fixed_ips.c.address)
    .join(fixed_ips, fixed_ips.c.instance_uuid == instances.c.uuid)
    .where(instances.c.uuid.in_(bindparam("uuids", expanding=True)), instances.c.deleted == 0)
    .order_by(fixed_ips.c.id)
)
_OF_SERVERS = delete(dns_entries).where(_entry.instance_uuid.in_(bindparam("uuids", expanding=True)))
# The floating addresses that go back to their pool with servers.
_AUTOMATIC = (
    select(floating_ips.c.address)
    .join(fixed_ips, fixed_ips.c.id == floating_ips.c.fixed_ip_id)
    .where(
        fixed_ips.c.instance_uuid.in_(bindparam("uuids", expanding=True)),
        floating_ips.c.auto_assigned == true(),
    )
)
_ANSWERED = (
    select(_entry.address, _entry.name, _entry.domain, _domain.scope, _domain.availability_zone)
    .join(dns_domains, _domain.domain == _entry.domain)
    .order_by(_entry.domain, _entry.name)
)


class DnsStore:
    """Domains and entries in one transaction. All names are given in small letters."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # -- domains -----------------------------------------------------------------------------------

    def domains(self) -> list[DnsDomain]:
        """All domains by name."""
        rows = self._connection.execute(select(dns_domains).order_by(_domain.domain))
        return [DnsDomain(*row) for row in rows]

    def find_domain(self, domain: str) -> DnsDomain | None:
        """The domain of that name, if there is one."""
        row = self._connection.execute(select(dns_domains).where(_domain.domain == domain)).first()
        return None if row is None else DnsDomain(*row)

    def get_domain(self, domain: str) -> DnsDomain:
        """The domain of that name, or ``NotFound``."""
        found = self.find_domain(domain)
        if found is None:
            raise NotFound(f"DNS domain {domain} could not be found.")
        return found

    def put_domain(self, wanted: DnsDomain) -> None:
        """Make a domain, or change the one of that name; its entries stay."""
        values = {
            "scope": wanted.scope, "project_id": wanted.project_id,
            "availability_zone": wanted.availability_zone,
        }
        change = update(dns_domains).where(_domain.domain == wanted.domain).values(**values)
        if self._connection.execute(change).rowcount:
            return
        if not self._insert(dns_domains, [{"domain": wanted.domain, **values}]):
            # Somebody made it meanwhile.
            self._connection.execute(change)

    def delete_domain(self, domain: str) -> None:
        """Remove a domain with its entries; ``NotFound`` without it."""
        self._connection.execute(delete(dns_entries).where(_entry.domain == domain))
        if not self._connection.execute(
            delete(dns_domains).where(_domain.domain == domain)
        ).rowcount:
            raise NotFound(f"DNS domain {domain} could not be found.")

    # -- entries -----------------------------------------------------------------------------------

    def find(self, domain: str, name: str) -> DnsEntry | None:
        """The entry of that name, if there is one."""
        row = self._connection.execute(
            select(dns_entries).where(_entry.domain == domain, _entry.name == name)
        ).first()
        return None if row is None else DnsEntry(*row)

    def entries(self, domain: str, address: str | None = None) -> list[DnsEntry]:
        """The entries of a domain, or those that lead to an address, by name."""
        query = select(dns_entries).where(_entry.domain == domain).order_by(_entry.name)
        if address is not None:
            query = query.where(_entry.address == address)
        return [DnsEntry(*row) for row in self._connection.execute(query)]

    def put(self, wanted: DnsEntry) -> None:
        """Make an entry, or change the one of that name; the domain has to be there."""
        values: dict[str, Any] = {
            "address": wanted.address, "type": wanted.type, "instance_uuid": wanted.instance_uuid,
        }
        change = (
            update(dns_entries)
            .where(_entry.domain == wanted.domain, _entry.name == wanted.name)
            .values(**values)
        )
        if self._connection.execute(change).rowcount:
            return
        row = {"domain": wanted.domain, "name": wanted.name, **values}
        if not self._insert(dns_entries, [row]) and not self._connection.execute(change).rowcount:
            # The name was not taken meanwhile: the domain is gone.
            raise NotFound(f"DNS domain {wanted.domain} could not be found.")

    def delete(self, domain: str, name: str) -> None:
        """Remove an entry; ``NotFound`` without it."""
        if not self._connection.execute(
            delete(dns_entries).where(_entry.domain == domain, _entry.name == name)
        ).rowcount:
            raise NotFound(f"DNS entry {name} could not be found in domain {domain}.")

    def forget_addresses(self, addresses: Sequence[str]) -> bool:
        """Remove all entries that lead to addresses, in any domain; answers whether there were any."""
        removed = 0
        for start in range(0, len(addresses), _BATCH):
            part = addresses[start : start + _BATCH]
            removed += self._connection.execute(
                delete(dns_entries).where(_entry.address.in_(part))
            ).rowcount
        return bool(removed)

    # -- servers -----------------------------------------------------------------------------------

    def servers(self, instance_uuids: Sequence[str]) -> list[tuple[str, str, str | None, str]]:
        """The addresses of servers, each server's oldest first: (uuid, host name, host, address)."""
        rows = self._connection.execute(_SERVERS, {"uuids": instance_uuids})
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def add(self, entries: Sequence[DnsEntry]) -> bool:
        """Add entries but those whose name is taken; answers whether any was added."""
        domains = sorted({each.domain for each in entries})
        taken = {
            (row[0], row[1]) for row in self._connection.execute(
                select(_entry.domain, _entry.name).where(
                    _entry.domain.in_(domains), _entry.name.in_([each.name for each in entries])
                )
            )
        }
        fresh: dict[tuple[str, str], dict[str, Any]] = {}
        for each in entries:
            key = (each.domain, each.name)
            if key not in taken:
                fresh.setdefault(key, {
                    "domain": each.domain, "name": each.name, "address": each.address,
                    "type": each.type, "instance_uuid": each.instance_uuid,
                })
        rows = list(fresh.values())
        if not rows or self._insert(dns_entries, rows):
            return bool(rows)
        # One of the names was taken meanwhile.
        added = [self._insert(dns_entries, [row]) for row in rows]
        return any(added)

    def forget_servers(self, instance_uuids: Sequence[str]) -> bool:
        """Remove the entries that came with servers; answers whether there were any."""
        return bool(self._connection.execute(_OF_SERVERS, {"uuids": instance_uuids}).rowcount)

    def forget_automatic(self, instance_uuids: Sequence[str]) -> bool:
        """Remove the entries of floating addresses that were assigned to servers automatically; answers
        whether there were any.
        """
        found = self._connection.execute(_AUTOMATIC, {"uuids": instance_uuids}).scalars().all()
        return self.forget_addresses(found) if found else False

    # -- hosts -------------------------------------------------------------------------------------

    def answered(self) -> list[tuple[str, str, str | None]]:
        """All names that hosts answer: (address, full name, zone that alone does so), by domain and name.
        """
        rows = self._connection.execute(_ANSWERED)
        return [
            (address, f"{name}.{domain}", zone if scope == PRIVATE else None)
            for address, name, domain, scope, zone in rows
        ]

    def _insert(self, table: Any, rows: Sequence[dict[str, Any]]) -> bool:
        """Add rows; false, with nothing added, where one of them is there already."""
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(table), rows)
        except IntegrityError:
            return False
        return True
