# SPDX-License-Identifier: Apache-2.0
"""The kernel's network devices, addresses and routes over netlink: one look, then single changes.

Names and constants are those of linux/if_link.h, linux/if_addr.h and linux/rtnetlink.h.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

from nova.errors import NetworkNotReady

_SCOPE_LINK = 253
_IFA_F_NODAD = 0x02
_IFA_F_PERMANENT = 0x80
_MAIN_TABLE = 254
_RTPROT_KERNEL = 2
_RTN_UNICAST = 1


@dataclasses.dataclass(frozen=True)
class Link:
    """A network device. ``master`` and ``parent`` are indexes of devices, 0 for none."""

    index: int
    name: str
    kind: str | None
    master: int
    parent: int
    vlan: int | None
    mtu: int
    up: bool
    mac: str


@dataclasses.dataclass(frozen=True)
class InterfaceAddress:
    """An address of a device; lifetimes are seconds, 0xffffffff for ever."""

    index: int
    address: str
    prefix: int
    broadcast: str | None = None
    valid: int = 0xFFFFFFFF
    preferred: int = 0xFFFFFFFF

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET

    @property
    def text(self) -> str:
        """Address and prefix."""
        return f"{self.address}/{self.prefix}"


class Links:
    """What a network namespace has, as one look found it; changes go to the kernel and into this view."""

    def __init__(self, ipr: Any) -> None:
        self._ipr = ipr
        self.by_name: dict[str, Link] = {}
        self.by_index: dict[int, Link] = {}
        for message in ipr.get_links():
            self._note(_link(message))
        self.addresses: dict[int, list[InterfaceAddress]] = {}
        for message in ipr.get_addr():
            if message["scope"] < _SCOPE_LINK:
                found = _address(message)
                self.addresses.setdefault(found.index, []).append(found)

    def _note(self, link: Link) -> None:
        self.by_name[link.name] = link
        self.by_index[link.index] = link

    def ports_of(self, index: int) -> list[Link]:
        """The devices in a bridge."""
        return [link for link in self.by_index.values() if link.master == index]

    # --- devices ---------------------------------------------------------------------------------

    def add_bridge(self, name: str, mac: str) -> Link:
        """Make a bridge without spanning tree and without a forwarding delay.

        Its MAC stays: else it were another whenever a guest with a lower one comes or goes, and guests would
        not find their gateway until they ask again.
        """
        with _told(f"bridge {name} could not be made"):
            self._ipr.link(
                "add", ifname=name, kind="bridge", address=mac, br_stp_state=0, br_forward_delay=0,
            )
        return self.look(name)

    def add_vlan(self, name: str, parent: Link, vlan: int) -> Link:
        """Make a VLAN device on another device."""
        with _told(f"VLAN {vlan} could not be made on {parent.name}"):
            self._ipr.link("add", ifname=name, kind="vlan", link=parent.index, vlan_id=vlan)
        return self.look(name)

    def remove(self, link: Link) -> None:
        """Remove a device; one that is gone is no error."""
        with _told(f"{link.name} could not be removed"), _unless(errno.ENODEV):
            self._ipr.link("del", index=link.index)
        self.by_name.pop(link.name, None)
        self.by_index.pop(link.index, None)
        self.addresses.pop(link.index, None)

    def look(self, name: str) -> Link:
        """A device as it is now."""
        # By name the kernel answers with this one; a dump would be of all.
        found = self._ipr.link("get", ifname=name)
        link = _link(found[0])
        self._note(link)
        return link

    def set_up(self, link: Link) -> Link:
        """Bring a device up."""
        return link if link.up else self._set(link, f"{link.name} could not be brought up", up=True)

    def set_mtu(self, link: Link, mtu: int) -> Link:
        """Set the largest packet, bytes."""
        return self._set(link, f"{link.name} does not take the MTU {mtu}", mtu=mtu)

    def set_mac(self, link: Link, mac: str) -> Link:
        """Set the MAC."""
        return self._set(link, f"{link.name} does not take the MAC {mac}", mac=mac)

    def set_master(self, link: Link, bridge: Link | None) -> Link:
        """Put a device into a bridge, or take it out of its own."""
        index = bridge.index if bridge is not None else 0
        where = f"put into bridge {bridge.name}" if bridge is not None else "taken out of its bridge"
        return self._set(link, f"{link.name} could not be {where}", master=index)

    def _set(self, link: Link, problem: str, **values: Any) -> Link:
        words = {"mac": "address", "up": "state"}
        with _told(problem):
            self._ipr.link(
                "set", index=link.index,
                **{words.get(name, name): "up" if name == "up" else value for name, value in values.items()},
            )
        changed = dataclasses.replace(link, **values)
        self._note(changed)
        return changed

    # --- addresses -------------------------------------------------------------------------------

    def add_address(self, link: Link, wanted: InterfaceAddress) -> bool:
        """Give a device an address; false where it had it already."""
        present = self.addresses.setdefault(link.index, [])
        if any(each.text == wanted.text for each in present):
            return False
        facts: dict[str, Any] = {
            "index": link.index, "address": wanted.address, "prefixlen": wanted.prefix,
            "family": wanted.family,
        }
        if wanted.family == socket.AF_INET6:
            # It is known whose it is; asking whether it is a duplicate would hold it back for a second.
            facts["flags"] = _IFA_F_NODAD
        if wanted.broadcast is not None:
            facts["broadcast"] = wanted.broadcast
        if wanted.valid != 0xFFFFFFFF:
            facts["valid_lft"], facts["preferred_lft"] = wanted.valid, wanted.preferred
        with _told(f"{link.name} does not take the address {wanted.text}"), _unless(errno.EEXIST):
            self._ipr.addr("add", **facts)
        present.append(dataclasses.replace(wanted, index=link.index))
        return True

    def remove_address(self, link: Link, address: InterfaceAddress) -> None:
        """Take an address from a device; one that it lacks is no error."""
        with _told(f"address {address.text} could not be taken from {link.name}"), _unless(
            errno.EADDRNOTAVAIL, errno.ENODEV
        ):
            self._ipr.addr(
                "del", index=link.index, address=address.address, prefixlen=address.prefix,
                family=address.family,
            )
        self.addresses[link.index] = [
            each for each in self.addresses.get(link.index, []) if each.text != address.text
        ]

    # --- routes ----------------------------------------------------------------------------------

    def routes_over(self, link: Link) -> list[dict[str, Any]]:
        """The routes over a device that somebody set, in all tables; those that the kernel makes for its
        addresses are left out.
        """
        found = []
        for family in (socket.AF_INET, socket.AF_INET6):
            for message in self._ipr.get_routes(family=family):
                attributes = dict(message["attrs"])
                if (
                    attributes.get("RTA_OIF") == link.index
                    and message["proto"] != _RTPROT_KERNEL
                    and message["type"] == _RTN_UNICAST
                ):
                    found.append(_route(message, attributes))
        return found

    def remove_route(self, route: dict[str, Any], link: Link) -> None:
        """Remove a route over a device; one that is gone is no error."""
        with _told(f"a route over {link.name} could not be removed"), _unless(
            errno.ESRCH, errno.ENODEV
        ):
            self._ipr.route("del", **{**route, "oif": link.index})

    def add_route(self, route: dict[str, Any], link: Link) -> None:
        """Set a route that ``routes_over`` gave, over another device."""
        with _told(f"a route could not be moved to {link.name}"), _unless(errno.EEXIST):
            self._ipr.route("add", **{**route, "oif": link.index})


@contextlib.contextmanager
def open_links() -> Iterator[Links]:
    """The devices of this thread's network namespace.

    Raises ``NetworkNotReady`` where netlink cannot be used.
    """
    try:
        from pyroute2 import IPRoute
    except ModuleNotFoundError:
        raise NetworkNotReady(
            "The host's network needs the Python package pyroute2: install nova-fabric[network]."
        ) from None
    with IPRoute() as ipr:
        yield Links(ipr)


@contextlib.contextmanager
def _told(problem: str) -> Iterator[None]:
    """Tell what could not be done, and why, when the kernel refuses."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except NetlinkError as error:
        why = "CAP_NET_ADMIN is missing" if error.code == errno.EPERM else str(error.args[1])
        raise NetworkNotReady(f"{problem[0].upper()}{problem[1:]}: {why}.") from error


@contextlib.contextmanager
def _unless(*codes: int) -> Iterator[None]:
    """Let errors pass that say that it is done already."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except NetlinkError as error:
        if error.code not in codes:
            raise


def _link(message: Any) -> Link:
    attributes = dict(message["attrs"])
    info = dict(attributes["IFLA_LINKINFO"]["attrs"]) if "IFLA_LINKINFO" in attributes else {}
    kind = info.get("IFLA_INFO_KIND")
    vlan = None
    if kind == "vlan":
        vlan = dict(info["IFLA_INFO_DATA"]["attrs"]).get("IFLA_VLAN_ID")
    return Link(
        index=message["index"], name=attributes["IFLA_IFNAME"], kind=kind,
        master=attributes.get("IFLA_MASTER") or 0, parent=attributes.get("IFLA_LINK") or 0, vlan=vlan,
        mtu=attributes.get("IFLA_MTU") or 0, up=bool(message["flags"] & 1),
        mac=attributes.get("IFLA_ADDRESS") or "",
    )


def _address(message: Any) -> InterfaceAddress:
    attributes = dict(message["attrs"])
    times = attributes.get("IFA_CACHEINFO") or {}
    permanent = attributes.get("IFA_FLAGS", message["flags"]) & _IFA_F_PERMANENT
    local = attributes.get("IFA_LOCAL") or attributes["IFA_ADDRESS"]
    return InterfaceAddress(
        index=message["index"], address=str(ipaddress.ip_address(local)), prefix=message["prefixlen"],
        broadcast=attributes.get("IFA_BROADCAST"),
        valid=0xFFFFFFFF if permanent else times.get("ifa_valid", 0xFFFFFFFF),
        preferred=0xFFFFFFFF if permanent else times.get("ifa_preferred", 0xFFFFFFFF),
    )


def _route(message: Any, attributes: dict[str, Any]) -> dict[str, Any]:
    length = message["dst_len"]
    route: dict[str, Any] = {
        "family": message["family"], "table": attributes.get("RTA_TABLE", _MAIN_TABLE),
        "proto": message["proto"], "scope": message["scope"],
        "dst": f"{attributes['RTA_DST']}/{length}" if "RTA_DST" in attributes else "default",
    }
    for name, attribute in (
        ("gateway", "RTA_GATEWAY"), ("prefsrc", "RTA_PREFSRC"), ("priority", "RTA_PRIORITY"),
    ):
        if attribute in attributes:
            route[name] = attributes[attribute]
    return route
