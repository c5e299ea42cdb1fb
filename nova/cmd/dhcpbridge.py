# SPDX-License-Identifier: Apache-2.0
"""``nova-dhcpbridge``: what dnsmasq runs when a lease begins, is renewed, or ends.

    nova-dhcpbridge add|old|del MAC ADDRESS [NAME]
    nova-dhcpbridge init            prints all leases as dnsmasq's lease file has them

It tells the host's nova-network over a Unix socket (NOVA_DHCPBRIDGE_SOCKET) and nothing else. It imports
next to nothing, for it runs once for every lease. Where nova-network is down it ends without an error:
dnsmasq keeps its leases itself, and nova-network reads them when it starts.
"""

from __future__ import annotations

import os
import socket
import sys

_TIMEOUT = 10.0
_OPTIONS_WITH_VALUE = ("--config-file", "--config-dir", "--log-file", "--log-dir", "--flagfile")


def words_of(arguments: list[str]) -> list[str]:
    """The command without options, which are accepted as they used to be."""
    words, skip = [], False
    for each in arguments:
        if skip:
            skip = False
        elif each in _OPTIONS_WITH_VALUE:
            skip = True
        elif not each.startswith("-"):
            words.append(each)
    return words


def tell(path: str, line: str) -> bytes:
    """Send a line to the socket and read the answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT)
        connection.connect(path)
        connection.sendall(line.encode() + b"\n")
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def main() -> None:
    """Tell what the arguments say; exit status 2 for a command that there is none of."""
    words = words_of(sys.argv[1:])
    path = os.environ.get("NOVA_DHCPBRIDGE_SOCKET")
    if not words or words[0] not in ("add", "old", "del", "init"):
        # dnsmasq may add kinds of events; they are no error of ours.
        sys.exit(0 if words else 2)
    if words[0] == "init" and "DNSMASQ_INTERFACE" in os.environ:
        words = ["init", os.environ["DNSMASQ_INTERFACE"]]
    if path is None:
        sys.exit("NOVA_DHCPBRIDGE_SOCKET is not set: this is run by the dnsmasq of nova-network")
    try:
        sys.stdout.buffer.write(tell(path, " ".join(words)))
    except OSError as error:
        print(f"nova-network does not answer on {path}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
