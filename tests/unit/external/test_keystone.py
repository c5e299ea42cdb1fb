# SPDX-License-Identifier: Apache-2.0
"""What an external Keystone says of projects; the real one is in tests/services."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("keystonemiddleware", reason="the extra external is not installed")

from keystoneauth1 import exceptions

from nova.conf.keystone import KeystoneAuthtokenSection
from nova.external.keystone import KeystoneProjects
from nova.objects.context import RequestContext

USER = RequestContext(user_id="u", project_id="p", token="the-token")


class Answer:
    def __init__(self, status: int, document: Any) -> None:
        self.status_code = status
        self._document = document

    def json(self) -> Any:
        if isinstance(self._document, Exception):
            raise self._document
        return self._document


class Session:
    """Plays Keystone, and remembers what it was asked."""

    def __init__(self, answer: Answer | Exception) -> None:
        self._answer = answer
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def get(self, url: str, **options: Any) -> Answer:
        self.asked.append((url, options))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (Answer(200, {"project": {"id": "x"}}), True),
        (Answer(404, {"error": {"code": 404, "message": "Could not find project: x."}}), False),
        (Answer(404, ValueError("not JSON")), None), (Answer(404, {"message": "no such page"}), None),
        (Answer(403, {"error": {"code": 403}}), None), (Answer(401, {"error": {"code": 401}}), None),
        (Answer(503, ValueError("not JSON")), None), (exceptions.ConnectFailure("down"), None),
    ],
)
def test_only_a_clear_no_counts_as_no(answer: Any, found: bool | None) -> None:
    for url in ("http://k:5000", "http://k:5000/v3/", "http://k:5000/v2.0"):
        projects = KeystoneProjects(KeystoneAuthtokenSection(auth_url=url))
        session: Any = Session(answer)
        projects._session = session
        assert projects(USER, "a/é?") is found
        ((asked, options),) = session.asked
        assert asked == "http://k:5000/v3/projects/a%2F%C3%A9%3F"
        assert options["headers"]["X-Auth-Token"] == "the-token"
