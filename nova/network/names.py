# SPDX-License-Identifier: Apache-2.0
"""Names that hosts' DNS answers beside those of their own guests: domains and their entries.

Administrators make domains, projects put names for their floating addresses in, and servers get names of
their own in the domain ``instance_dns_domain``. Hosts are told when a name changes, and read all of them
then (``nova/network/linux/dhcp.py``).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nova.errors import InvalidInput
from nova.network.refreshes import NetworkRefreshes
from nova.objects.dns import PRIVATE, DnsDomain, DnsEntry

if TYPE_CHECKING:
    from nova.db.engine import Transaction

#: Kind of refresh that the hosts' DNS knows.
NAMES = "names"

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
#: Characters of a whole name (RFC 1035, 2.3.4, without the root).
_LONGEST = 253


def domain_name(text: str, field: str = "domain") -> str:
    """A domain's name in small letters; ``InvalidInput`` naming ``field`` for one that DNS cannot have."""
    name = text.lower()
    if not _well_formed(name):
        raise InvalidInput(
            field, "It must be labels of letters, digits and hyphens, with dots between them; others have "
            "an ASCII form (xn--…).", text,
        )
    return name


def entry_name(text: str, domain: str) -> str:
    """An entry's name in small letters, without its domain; ``InvalidInput`` for one that DNS cannot have.
    """
    name = domain_name(text, "name")
    if _is_address(name):
        raise InvalidInput("name", "It is an address.", text)
    if len(name) + 1 + len(domain) > _LONGEST:
        raise InvalidInput("name", f"With its domain it has more than {_LONGEST} characters.", text)
    return name


def entry_address(text: str) -> str:
    """An entry's IPv4 address; ``InvalidInput`` for anything else."""
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise InvalidInput("ip", "It must be an IPv4 address.", text) from None


def _well_formed(name: str) -> bool:
    labels = name.split(".")
    return len(name) <= _LONGEST and all(_LABEL.fullmatch(each) for each in labels)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def names_changed(refreshes: NetworkRefreshes | None, tx: Transaction) -> None:
    """Let the hosts read all names anew, once committed."""
    if refreshes is not None:
        for host in sorted(refreshes.listening(tx)):
            refreshes.tell(tx, host, NAMES, ())


def names_of_host(tx: Transaction, host: str, default_zone: str) -> tuple[tuple[str, str], ...]:
    """The names that a host answers: (address, full name), those of its zone and those of all."""
    found = tx.dns.answered()
    own = None
    if any(zone is not None for _address, _name, zone in found):
        own = tx.aggregates.zones_of_hosts().get(host, default_zone)
    return tuple((address, name) for address, name, zone in found if zone in (None, own))


class ServerNames:
    """Names of servers in one private domain (``instance_dns_domain``): NAME.domain and UUID.domain.

    The domain is made with the first server. Where it has a zone, only servers in that zone get names.
    A name that another server has already is not given again.
    """

    def __init__(self, domain: str, default_zone: str) -> None:
        """Raises ``InvalidInput`` for a domain that DNS cannot have."""
        self._domain = domain_name(domain, "instance_dns_domain")
        self._default_zone = default_zone

    def add(
        self, tx: Transaction, instance_uuids: Sequence[str], hosts: Mapping[str, str | None] | None = None
    ) -> bool:
        """Give servers their names; answers whether anything changed.

        To be called when they have their addresses. ``hosts`` says where those are whose rows do not yet.
        """
        found = tx.dns.servers(instance_uuids)
        if not found:
            return False
        zone = self._zone(tx)
        zones = tx.aggregates.zones_of_hosts() if zone is not None else {}
        entries: list[DnsEntry] = []
        seen: set[str] = set()
        for uuid, hostname, host, address in found:
            where = (hosts or {}).get(uuid) or host
            outside = zone is not None and (
                where is None or zones.get(where, self._default_zone) != zone
            )
            if uuid in seen or outside or ":" in address:
                continue
            seen.add(uuid)
            entries += [
                DnsEntry(self._domain, name, address, instance_uuid=uuid)
                for name in (hostname.lower(), uuid) if self._fits(name)
            ]
        return bool(entries) and tx.dns.add(entries)

    def remove(self, tx: Transaction, instance_uuids: Sequence[str]) -> bool:
        """Take servers' names away; answers whether there were any."""
        return tx.dns.forget_servers(instance_uuids)

    def renew(self, tx: Transaction, instance_uuids: Sequence[str]) -> bool:
        """Give servers the names that they should have now; answers whether anything may have changed."""
        removed = self.remove(tx, instance_uuids)
        return self.add(tx, instance_uuids) or removed

    def _zone(self, tx: Transaction) -> str | None:
        domain = tx.dns.find_domain(self._domain)
        if domain is None:
            tx.dns.put_domain(DnsDomain(self._domain, PRIVATE))
            return None
        return domain.availability_zone

    def _fits(self, name: str) -> bool:
        fits = _well_formed(name) and not _is_address(name)
        return fits and len(name) + 1 + len(self._domain) <= _LONGEST
