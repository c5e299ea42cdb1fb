# SPDX-License-Identifier: Apache-2.0
"""Pages of the short lists of the Block Storage API, and numbers that are none."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.unit.volume.http_face import NOWHERE, Api
from tests.unit.volume.storage import Storage

#: Digits by Unicode, though no number; and a number that Python reads no text as.
NO_NUMBERS = ("²", "9" * 5000, "-1", "")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    storage = Storage(tmp_path_factory.mktemp("storage"))
    yield Api(storage)
    storage.stop()


@pytest.mark.parametrize("text", NO_NUMBERS, ids=["superscript", "long", "negative", "empty"])
@pytest.mark.parametrize("path", ["/attachments", "/types", "/messages", "/volumes", "/snapshots"])
def test_a_limit_that_is_no_number_was_answered_500(api: Api, path: str, text: str) -> None:
    answer = api("GET", f"{path}?limit={quote(text)}")
    assert answer.status_code == 400, answer.text
    assert api("GET", f"{path}?limit=1").status_code == 200


def test_a_progress_that_is_no_number_was_answered_500(api: Api) -> None:
    for text in NO_NUMBERS:
        body = {"os-update_snapshot_status": {"status": "creating", "progress": f"{text}%"}}
        answer = api("POST", f"/snapshots/{NOWHERE}/action", body, who="admin")
        assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("path", ["/attachments", "/types", "/messages"])
def test_a_marker_of_nothing_began_at_the_front(api: Api, path: str) -> None:
    answer = api("GET", f"{path}?marker={NOWHERE}")
    assert answer.status_code == 404, answer.text


def test_attachments_come_in_pages(api: Api) -> None:
    for _ in range(3):
        body = {"attachment": {"volume_uuid": api.volume()}}
        assert api("POST", "/attachments", body).status_code == 200
    whole = [each["id"] for each in api("GET", "/attachments").json["attachments"]]
    assert len(whole) == 3
    pages, marker = [], ""
    while True:
        page = api("GET", f"/attachments?limit=2{marker}").json["attachments"]
        if not page:
            break
        pages.append([each["id"] for each in page])
        marker = f"&marker={pages[-1][-1]}"
    assert pages == [whole[:2], whole[2:]]
