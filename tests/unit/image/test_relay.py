# SPDX-License-Identifier: Apache-2.0
"""Image data of a Glance for compute hosts, which have tickets and no login."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from falcon import testing

from nova.errors import Conflict, ImageNotFound
from nova.image.relay import make_image_relay
from nova.image.tickets import HEADER, ImageTickets
from nova.objects.context import RequestContext

DATA = bytes(range(256)) * 10


class Glance:
    """The other side: remembers what came and by whom."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {"there": DATA}
        self.callers: list[RequestContext] = []

    def upload(self, context: RequestContext, image_id: str, chunks: Iterable[bytes]) -> None:
        if image_id in self.stored:
            raise Conflict("it has data")
        self.callers.append(context)
        self.stored[image_id] = b"".join(chunks)

    def download(self, context: RequestContext, image_id: str) -> Iterator[bytes]:
        if image_id not in self.stored:
            raise ImageNotFound(image_id)
        self.callers.append(context)
        return iter([self.stored[image_id][:100], self.stored[image_id][100:]])


@pytest.fixture
def glance() -> Glance:
    return Glance()


@pytest.fixture
def tickets() -> ImageTickets:
    return ImageTickets(b"k" * 32)


@pytest.fixture
def client(glance: Glance, tickets: ImageTickets) -> testing.TestClient:
    return testing.TestClient(make_image_relay(glance, tickets))


def with_ticket(tickets: ImageTickets, use: str, image_id: str) -> dict[str, str]:
    ticket = tickets.issue(use, image_id, "user", "project", "req-1")  # type: ignore[arg-type]
    return {HEADER: ticket, "Content-Type": "application/octet-stream"}


def test_a_host_reads_what_its_ticket_is_for(
    client: testing.TestClient, tickets: ImageTickets
) -> None:
    answer = client.simulate_get(
        "/v2/images/there/file", headers=with_ticket(tickets, "read", "there")
    )
    assert (answer.status_code, answer.content) == (200, DATA)


def test_a_host_stores_in_the_name_of_the_owner_without_a_token(
    client: testing.TestClient, glance: Glance, tickets: ImageTickets
) -> None:
    answer = client.simulate_put(
        "/v2/images/new/file", body=DATA, headers=with_ticket(tickets, "store", "new")
    )
    assert answer.status_code == 204
    assert glance.stored["new"] == DATA
    (caller,) = glance.callers
    assert (caller.user_id, caller.project_id, caller.token) == ("user", "project", "")


@pytest.mark.parametrize(
    ("method", "path", "ticket"),
    [
        ("GET", "/v2/images/there/file", None),
        ("GET", "/v2/images/there/file", ("read", "other")),
        ("GET", "/v2/images/there/file", ("store", "there")),
        ("PUT", "/v2/images/new/file", ("read", "new")),
        ("GET", "/v2/images/there", ("read", "there")),
        ("DELETE", "/v2/images/there/file", ("store", "there")),
        ("GET", "/v2/images", None),
    ],
)
def test_all_else_is_refused(
    client: testing.TestClient, glance: Glance, tickets: ImageTickets, method: str, path: str,
    ticket: tuple[str, str] | None,
) -> None:
    headers = with_ticket(tickets, *ticket) if ticket else {"X-Auth-Token": "somebody's"}
    answer = client.simulate_request(method, path, headers=headers)
    assert answer.status_code == 401
    assert glance.callers == []


def test_a_ticket_of_another_cloud_is_refused(client: testing.TestClient) -> None:
    other = ImageTickets(b"x" * 32)
    answer = client.simulate_get("/v2/images/there/file", headers=with_ticket(other, "read", "there"))
    assert answer.status_code == 401


def test_what_the_service_says_is_passed_on(client: testing.TestClient, tickets: ImageTickets) -> None:
    missing = client.simulate_get("/v2/images/none/file", headers=with_ticket(tickets, "read", "none"))
    assert missing.status_code == 404
    full = client.simulate_put(
        "/v2/images/there/file", body=b"x", headers=with_ticket(tickets, "store", "there")
    )
    assert full.status_code == 409
    wrong = client.simulate_put(
        "/v2/images/new/file", body=b"x",
        headers={**with_ticket(tickets, "store", "new"), "Content-Type": "text/plain"},
    )
    assert wrong.status_code == 415
