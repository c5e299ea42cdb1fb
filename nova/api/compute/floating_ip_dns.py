# SPDX-License-Identifier: Apache-2.0
"""``os-floating-ip-dns`` (until 2.35): DNS domains, and the names of floating addresses in them.

A project sees the public domains that are its own or everybody's, and all private ones; the names of
private domains are the administrators' to write. Hosts answer them (``nova/network/names.py``).
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import msgspec
from msgspec import Meta

from nova.api.compute.bodies import Body
from nova.api.compute.policies import ADMIN, MEMBER_OR_ADMIN, READER_OR_ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Query, Route
from nova.db.engine import Transaction
from nova.errors import InvalidInput, NotFound
from nova.network.names import domain_name, entry_address, entry_name, names_changed
from nova.objects.dns import PRIVATE, PUBLIC, DnsDomain, DnsEntry
from nova.policy import Rule

_ROOT = "os_compute_api:os-floating-ip-dns"

RULES: tuple[Rule, ...] = (
    Rule(_ROOT, READER_OR_ADMIN, "List DNS domains and look names up in them."),
    Rule(f"{_ROOT}:domain:update", ADMIN, "Make and change DNS domains."),
    Rule(f"{_ROOT}:domain:delete", ADMIN, "Delete DNS domains with their names."),
    Rule(f"{_ROOT}:entry:update", MEMBER_OR_ADMIN, "Make and change names in public DNS domains."),
    Rule(f"{_ROOT}:entry:delete", MEMBER_OR_ADMIN, "Delete names from public DNS domains."),
    Rule(f"{_ROOT}:private", ADMIN, "Change names in private DNS domains."),
    Rule(f"{_ROOT}:all_projects", ADMIN, "See and use the public DNS domains of all projects."),
)

Area = Annotated[str, Meta(min_length=1, max_length=255)]


class DomainEntry(msgspec.Struct):
    """The body of PUT /os-floating-ip-dns/{domain}: whose the domain is."""

    scope: Literal["public", "private"]
    project: Area | None = None
    availability_zone: Area | None = None


class Entry(msgspec.Struct):
    """The body of PUT …/entries/{entry}: the address of a name."""

    ip: Annotated[str, Meta(min_length=1, max_length=64)]
    dns_type: Literal["A", "a"]


def index(request: ApiRequest) -> Any:
    """List the domains that the caller's project may know of."""
    with request.cloud.db.read() as tx:
        found = [each for each in tx.dns.domains() if _visible(request, each)]
    return {"domain_entries": [_domain_view(each) for each in found]}


def put_domain(request: ApiRequest) -> Any:
    """Make a domain, or change whose it is."""
    body: DomainEntry = request.body
    if body.scope == PRIVATE and body.project is not None:
        raise InvalidInput("project", "A domain of scope private has none.", body.project)
    if body.scope == PUBLIC and body.availability_zone is not None:
        raise InvalidInput(
            "availability_zone", "A domain of scope public has none.", body.availability_zone
        )
    wanted = DnsDomain(
        domain_name(_plain(request)), body.scope, body.project, body.availability_zone
    )

    def write(tx: Transaction) -> None:
        before = tx.dns.find_domain(wanted.domain)
        tx.dns.put_domain(wanted)
        if before not in (None, wanted):
            names_changed(request.cloud.networks.refreshes, tx)

    request.cloud.db.run(write)
    return {"domain_entry": _domain_view(wanted)}


def delete_domain(request: ApiRequest) -> Any:
    """Delete a domain with all its names."""

    def write(tx: Transaction) -> None:
        tx.dns.delete_domain(_known(_plain(request)))
        names_changed(request.cloud.networks.refreshes, tx)

    request.cloud.db.run(write)


def entries(request: ApiRequest) -> Any:
    """List the names of a domain, or with ``ip`` those of one address.

    The original has no such list, though its public client asks for it (``nova dns-list --ip``).
    """
    wanted = request.one("ip")
    address = None if wanted is None else entry_address(wanted)
    with request.cloud.db.read() as tx:
        domain = _domain(request, tx).domain
        found = tx.dns.entries(domain, address)
    return {"dns_entries": [_entry_view(each) for each in found]}


def show_entry(request: ApiRequest) -> Any:
    """Show a name's address, or all names of an address."""
    asked = request.path["entry"]
    address = _address(asked)
    with request.cloud.db.read() as tx:
        domain = _domain(request, tx)
        if address is not None:
            found = tx.dns.entries(domain.domain, address)
        else:
            entry = tx.dns.find(domain.domain, _known(asked))
            found = [] if entry is None else [entry]
    if not found:
        raise NotFound("DNS entries not found.")
    if address is not None:
        return {"dns_entries": [_entry_view(each) for each in found]}
    return {"dns_entry": _entry_view(found[0])}


def put_entry(request: ApiRequest) -> Any:
    """Give a name an address, or another one."""
    body: Entry = request.body

    def write(tx: Transaction) -> DnsEntry:
        domain = _writable(request, tx)
        name = entry_name(request.path["entry"], domain.domain)
        wanted = DnsEntry(domain.domain, name, entry_address(body.ip), body.dns_type.upper())
        tx.dns.put(wanted)
        names_changed(request.cloud.networks.refreshes, tx)
        return wanted

    wanted = request.cloud.db.run(write)
    return {"dns_entry": _entry_view(wanted)}


def delete_entry(request: ApiRequest) -> Any:
    """Delete a name."""

    def write(tx: Transaction) -> None:
        domain = _writable(request, tx)
        tx.dns.delete(domain.domain, _known(request.path["entry"]))
        names_changed(request.cloud.networks.refreshes, tx)

    request.cloud.db.run(write)


def _plain(request: ApiRequest) -> str:
    """The path's domain. Clients write its dots as %2E and quote that once more."""
    return unquote(request.path["domain"])


def _known(text: str) -> str:
    """A name as it is kept; ``NotFound`` for one that there cannot be."""
    try:
        return domain_name(text)
    except InvalidInput:
        raise NotFound(f"There is no DNS domain or entry called {text[:255]!r}.") from None


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _visible(request: ApiRequest, domain: DnsDomain) -> bool:
    return (
        domain.scope == PRIVATE
        or domain.project_id in (None, request.caller.project_id)
        or request.allows(f"{_ROOT}:all_projects")
    )


def _domain(request: ApiRequest, tx: Transaction) -> DnsDomain:
    """The path's domain; ``NotFound`` also for another project's."""
    name = _known(_plain(request))
    found = tx.dns.get_domain(name)
    if not _visible(request, found):
        raise NotFound(f"DNS domain {name} could not be found.")
    return found


def _writable(request: ApiRequest, tx: Transaction) -> DnsDomain:
    found = _domain(request, tx)
    if found.scope == PRIVATE:
        request.check(f"{_ROOT}:private")
    return found


def _domain_view(domain: DnsDomain) -> dict[str, Any]:
    return {
        "domain": domain.domain, "scope": domain.scope, "project": domain.project_id,
        "availability_zone": domain.availability_zone,
    }


def _entry_view(entry: DnsEntry) -> dict[str, Any]:
    return {
        "ip": entry.address, "id": None, "type": entry.type, "domain": entry.domain,
        "name": entry.name,
    }


_DOMAIN = "/os-floating-ip-dns/{domain}"
_ENTRY = _DOMAIN + "/entries/{entry}"

ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-floating-ip-dns", index, rule=_ROOT, until=35),
    Route("PUT", _DOMAIN, put_domain, rule=f"{_ROOT}:domain:update", until=35,
          body=Body("domain_entry", DomainEntry)),
    Route("DELETE", _DOMAIN, delete_domain, 202, rule=f"{_ROOT}:domain:delete", until=35),
    Route("GET", _DOMAIN + "/entries", entries, rule=_ROOT, until=35, query=Query({"ip": 1})),
    Route("GET", _ENTRY, show_entry, rule=_ROOT, until=35),
    Route("PUT", _ENTRY, put_entry, rule=f"{_ROOT}:entry:update", until=35,
          body=Body("dns_entry", Entry)),
    Route("DELETE", _ENTRY, delete_entry, 202, rule=f"{_ROOT}:entry:delete", until=35),
)
