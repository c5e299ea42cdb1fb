# SPDX-License-Identifier: Apache-2.0
"""Several RabbitMQ nodes as one cluster on this machine, which speak TLS alone and have a certificate."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.services.broker import Broker, rabbitmq_program
from tests.services.servers import MissingServer


class BrokerCluster:
    """``nodes`` of one cluster; ``ca_file`` signed what they show."""

    def __init__(self, home: Path, user: pwd.struct_passwd | None, count: int) -> None:
        self.ca_file = home / "ca.pem"
        _certificates(home)
        self.nodes: list[Broker] = []
        for number in range(1, count + 1):
            place = home / str(number)
            place.mkdir()
            self.nodes.append(Broker(place, user))
        first = self.nodes[0]
        names = "".join(
            f"cluster_formation.classic_config.nodes.{number} = {node.node}\n"
            for number, node in enumerate(self.nodes, 1)
        )
        for node in self.nodes:
            # They find each other by one port mapper, and trust each other by one cookie.
            node._mapper = first._mapper
            (node.home / ".erlang.cookie").write_text("A" * 20)
            (node.home / ".erlang.cookie").chmod(0o400)
            conf = node.home / "conf"
            conf.write_text(
                conf.read_text().replace("listeners.tcp.1 = ", "listeners.tcp = none\nlisteners.ssl.1 = ")
                + f"ssl_options.cacertfile = {self.ca_file}\nssl_options.certfile = {home}/server.pem\n"
                f"ssl_options.keyfile = {home}/server.key\nssl_options.verify = verify_none\n"
                "cluster_formation.peer_discovery_backend = classic_config\n" + names
            )
        for path in (home, *home.rglob("*")):
            if user is not None:
                os.chown(path, user.pw_uid, user.pw_gid)

    @property
    def url(self) -> str:
        """The transport URL of all of them."""
        return "rabbit://" + ",".join(f"nova:nova@127.0.0.1:{node.port}" for node in self.nodes) + "/"

    def start(self) -> None:
        """Start all; returns when they are one cluster."""
        with ThreadPoolExecutor() as pool:
            for _ in pool.map(Broker.start, self.nodes):
                pass
        if len(self.nodes) > 1:
            self.nodes[0].control("await_online_nodes", str(len(self.nodes)))

    def stop(self) -> None:
        """End all."""
        for node in self.nodes:
            node.stop()


@contextlib.contextmanager
def rabbitmq_cluster(count: int = 3) -> Iterator[BrokerCluster]:
    """A running cluster; its data goes with it."""
    user = None
    rabbitmq_program()
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam("rabbitmq")
        except KeyError:
            raise MissingServer("the user rabbitmq is not there (make system-parts)") from None
    home = Path(tempfile.mkdtemp(prefix="nova-rabbitmq-"))
    cluster = BrokerCluster(home, user, count)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(home, ignore_errors=True)


def _certificates(home: Path) -> None:
    """An authority and, signed by it, a server at 127.0.0.1."""
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = datetime.datetime.now(datetime.UTC)

    def certificate(name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")]))
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
        )

    signed = certificate("test authority", authority).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    ).sign(authority, hashes.SHA256())
    shown = certificate("broker", server).add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
    ).sign(authority, hashes.SHA256())
    (home / "ca.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (home / "server.pem").write_bytes(shown.public_bytes(serialization.Encoding.PEM))
    (home / "server.key").write_bytes(server.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))
