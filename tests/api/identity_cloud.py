# SPDX-License-Identifier: Apache-2.0
"""An identity service on a port of its own, and how the tests call it."""

from __future__ import annotations

import http.client
import json
import socket
import time
from pathlib import Path
from typing import Any

from nova.conf.identity import IdentitySection
from nova.db.engine import Database
from nova.db.schema import metadata
from nova.http.proxies import with_proxy_headers
from nova.http.server import HttpServer
from nova.identity.app import make_identity_app
from nova.identity.bootstrap import EndpointSpec, ensure_cloud
from nova.identity.service import IdentityService

PASSWORDS = {"admin": "admin secret", "demo": "demo secret"}


class Answer:
    """One answer."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["error"]["message"])


class IdentityCloud:
    """The service, its server, and one token for each who calls."""

    def __init__(self, directory: Path) -> None:
        self.port = _free_port()
        db = Database(f"sqlite:///{directory}/n.sqlite")
        metadata.create_all(db.engine)
        self.service = IdentityService(db, IdentitySection(bcrypt_rounds=4), directory / "keys")
        self.first = ensure_cloud(
            self.service,
            admin_password=PASSWORDS["admin"],
            demo_password=PASSWORDS["demo"],
            endpoints=[
                EndpointSpec("identity", "keystone", f"http://127.0.0.1:{self.port}/v3"),
                EndpointSpec("compute", "nova", "http://127.0.0.1:8774/v2.1/%(tenant_id)s"),
            ],
        )
        app = with_proxy_headers(make_identity_app(self.service), enabled=True)
        self._server = HttpServer("identity", app, "127.0.0.1", self.port, threads=4)
        self._server.start()
        self._wait()
        self.tokens = {
            "admin": self.login("admin", scope={"project": {"name": "admin"}}),
            "demo": self.login("demo", scope={"project": {"name": "demo"}}),
            "system": self.login("admin", scope={"system": {"all": True}}),
        }

    def stop(self) -> None:
        self._server.stop()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        by: str | None = "admin",
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """One request; ``by`` is whose token goes with it, or a token."""
        sent = dict(headers or {})
        if by is not None:
            sent["X-Auth-Token"] = self.tokens.get(by, by)
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, data, sent)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def login(self, name: str, password: str | None = None, scope: Any = None) -> str:
        """A token by password, for users of the default domain."""
        answer = self.try_login({"name": name, "password": password or PASSWORDS[name]}, scope)
        assert answer.status == 201, answer.body
        return str(answer.headers["X-Subject-Token"])

    def try_login(self, user: Any, scope: Any = None) -> Answer:
        """What a login by password is answered."""
        auth: dict[str, Any] = {
            "identity": {"methods": ["password"], "password": {"user": user}}
        }
        if scope is not None:
            auth["scope"] = scope
        return self.call("POST", "/v3/auth/tokens", {"auth": auth}, by=None)

    def make(self, kind: str, plural: str | None = None, **values: Any) -> Any:
        """A new resource, by the administrator."""
        answer = self.call("POST", f"/v3/{plural or kind + 's'}", {kind: values})
        assert answer.status == 201, answer.body
        return answer.json[kind]

    def role_id(self, name: str) -> str:
        (found,) = self.call("GET", f"/v3/roles?name={name}").json["roles"]
        return str(found["id"])

    def _wait(self) -> None:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("the server does not answer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
