# SPDX-License-Identifier: Apache-2.0
"""Glance's documents, addresses and refusals as compute has them; the real one is in tests/services."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

pytest.importorskip("keystoneauth1", reason="the extra external is not installed")

from nova.conf.glance import GlanceSection
from nova.conf.load import load
from nova.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    ImageNotFound,
    NovaError,
    QuotaExceeded,
    ServiceUnavailable,
    Unauthorized,
)
from nova.external.build import ExternalServiceMisconfigured, external_authenticator, external_images
from nova.external.glance import GlanceImages, image_of
from nova.objects.context import RequestContext

USER = RequestContext(user_id="u", project_id="p", token="the-token", request_id="req-1")
SERVICE = RequestContext(user_id="nova", is_admin=True)


_HERE: dict[str, Any] = {"host": "glance"}


class Answer:
    def __init__(self, status: int, document: Any = None, text: str = "") -> None:
        self.status_code = status
        self.text = text
        self._document = document

    def json(self) -> Any:
        return self._document

    def close(self) -> None:
        pass


class Session:
    """Plays Glance: answers in turn, and remembers what it was asked."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def request(self, url: str, method: str, **options: Any) -> Answer:
        self.asked.append((method, f"{options['endpoint_override']}{url}", options))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def document(**facts: Any) -> dict[str, Any]:
    return {
        "id": "i", "name": "ä", "status": "active", "owner": "p", "visibility": "shared", "size": 5,
        "min_disk": 1, "min_ram": 64, "protected": True, "tags": ["t"], "os_hidden": False,
        "created_at": "2026-01-02T03:04:05Z", "updated_at": None, "schema": "/v2/schemas/image",
        "hw_vif_model": "virtio", **facts,
    }


def images(session: Session, **options: Any) -> GlanceImages:
    return GlanceImages(GlanceSection(**(options or _HERE)), session)


def test_what_is_no_attribute_is_a_free_property() -> None:
    image = image_of(document(stores="local", os_hash_algo="sha512"))
    assert image.properties == {"hw_vif_model": "virtio"}
    assert image.created_at == datetime.datetime(2026, 1, 2, 3, 4, 5)
    assert (image.min_disk, image.min_ram, image.protected, image.tags) == (1, 64, True, ("t",))


@pytest.mark.parametrize(
    ("options", "addresses"),
    [
        ({}, ()),
        ({"host": "g"}, ("http://g:9292",)),
        ({"host": "::1", "port": 1, "protocol": "https"}, ("https://[::1]:1",)),
        ({"api_servers": ("a:1", "https://b"), "host": "g"}, ("http://a:1", "https://b")),
        ({"endpoint_override": "http://o/v2/", "api_servers": ("a:1",)}, ("http://o/v2/",)),
    ],
)
def test_where_glance_is(options: dict[str, Any], addresses: tuple[str, ...]) -> None:
    assert GlanceSection(**options).addresses() == addresses


def test_a_version_in_the_address_is_not_said_twice() -> None:
    session = Session(Answer(200, document()))
    images(session, endpoint_override="http://o/image/v2/").show(USER, "i")
    assert session.asked[0][1] == "http://o/image/v2/images/i"


def test_users_ask_with_their_own_token_and_the_cloud_with_its_login() -> None:
    session = Session(Answer(200, document()), Answer(200, document()))
    found = images(session)
    found.show(USER, "i")
    found.show(SERVICE, "i")
    user, service = (options for _method, _url, options in session.asked)
    assert user["headers"]["X-Auth-Token"] == "the-token"
    assert user["headers"]["X-OpenStack-Request-ID"] == "req-1"
    assert not user["authenticated"]
    assert service["authenticated"]
    assert "X-Auth-Token" not in service["headers"]


def test_what_is_known_counts_for_a_moment_and_for_its_project_only() -> None:
    session = Session(Answer(200, document()), Answer(404))
    found = images(session)
    assert found.show(USER, "i") == found.show(USER, "i")
    assert len(session.asked) == 1
    other = RequestContext(user_id="x", project_id="other", token="x")
    with pytest.raises(ImageNotFound):
        found.show(other, "i")


def test_an_image_that_is_being_filled_is_asked_for_each_time() -> None:
    session = Session(Answer(200, document(status="saving")), Answer(200, document()))
    found = images(session)
    assert [found.show(USER, "i").status, found.show(USER, "i").status] == ["saving", "active"]


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (400, "bad", BadRequest), (401, "", Unauthorized), (403, "no", Forbidden),
        (404, "", ImageNotFound), (409, "has data", Conflict), (413, "Image storage quota", QuotaExceeded),
        (500, "", ServiceUnavailable), (503, "", ServiceUnavailable),
    ],
)
def test_refusals(status: int, text: str, error: type[NovaError]) -> None:
    page = f"<html><head><title>x</title></head><body><h1>{text}</h1>again</body></html>"
    with pytest.raises(error) as caught:
        images(Session(Answer(status, text=page))).delete(USER, "i")
    if error in (BadRequest, Forbidden, Conflict):
        assert caught.value.message == f"The image service refuses: {text} again"


def test_a_glance_that_is_away_is_passed_over_for_the_next() -> None:
    from keystoneauth1.exceptions import ConnectFailure

    session = Session(ConnectFailure(), Answer(200, document()))
    images(session, api_servers=("a:1", "b:2")).show(USER, "i")
    assert [url for _method, url, _options in session.asked] == [
        "http://a:1/v2/images/i", "http://b:2/v2/images/i",
    ]
    with pytest.raises(ServiceUnavailable):
        images(Session(ConnectFailure())).show(USER, "i")


def test_lists_follow_the_pages_up_to_the_limit() -> None:
    first = {"images": [document(id="1"), document(id="2")], "next": "/v2/images?marker=2&limit=2&name=n"}
    last = {"images": [document(id="3")]}
    session = Session(Answer(200, first), Answer(200, last))
    found = images(session).list(USER, filters={"name": "n"}, limit=None, marker="0")
    assert [image.id for image in found] == ["1", "2", "3"]
    assert session.asked[0][2]["params"] == {"name": "n", "marker": "0", "limit": 1000}
    assert session.asked[1][2]["params"] == {"marker": "2", "name": "n", "limit": 1000}
    session = Session(Answer(200, first))
    assert len(images(session).list(USER, filters={}, limit=2, marker=None)) == 2


def test_properties_are_added_replaced_and_removed() -> None:
    session = Session(Answer(200, document(old="1")), Answer(200), Answer(200, document()))
    images(session).update_properties(
        USER, "i", {"hw_vif_model": "e1000", "a/b~c": "ä", "none": None, "map": {"k": 1}}, purge=True
    )
    import json

    assert json.loads(session.asked[1][2]["data"]) == [
        {"op": "replace", "path": "/hw_vif_model", "value": "e1000"},
        {"op": "add", "path": "/a~1b~0c", "value": "ä"},
        {"op": "add", "path": "/map", "value": '{"k": 1}'},
        {"op": "remove", "path": "/old"},
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({("glance", "host"): "g"}, "set [keystone_authtoken] auth_url"),
        ({("keystone_authtoken", "auth_url"): "http://k"}, "lacks username, password, project_name"),
    ],
)
def test_half_a_configuration_is_refused_by_name(
    settings: dict[tuple[str, str], str], said: str
) -> None:
    config = load([], settings)
    build = external_images if config.glance.external else external_authenticator
    with pytest.raises(ExternalServiceMisconfigured) as caught:
        build(config)
    assert said in caught.value.message


def test_without_options_the_built_in_services_are_used() -> None:
    config = load([])
    assert external_authenticator(config) is None
    assert external_images(config) is None
