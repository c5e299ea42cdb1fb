# SPDX-License-Identifier: Apache-2.0
"""Tickets for image data are good for what they name, for a while, and cannot be made by others."""

from __future__ import annotations

import base64

import pytest

from nova.errors import Unauthorized
from nova.image import tickets
from nova.image.tickets import ImageTickets


def test_a_ticket_says_what_it_was_issued_for() -> None:
    ours = ImageTickets(b"k" * 32)
    ticket = ours.check(ours.issue("store", "an-image", "user", "project", "req-1"))
    assert (ticket.use, ticket.image_id, ticket.user_id, ticket.project_id) == (
        "store", "an-image", "user", "project"
    )


def test_a_changed_or_foreign_ticket_is_refused() -> None:
    ours = ImageTickets(b"k" * 32)
    text = ours.issue("read", "an-image", "user", "project", "req-1")
    raw = bytearray(base64.urlsafe_b64decode(text))
    raw[-1] ^= 1
    for wrong in (
        base64.urlsafe_b64encode(bytes(raw)).decode(), "", "x", "größe", "a" * 500,
        ImageTickets(b"o" * 32).issue("read", "an-image", "user", "project", "req-1"),
    ):
        with pytest.raises(Unauthorized):
            ours.check(wrong)


def test_an_old_ticket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = ImageTickets(b"k" * 32)
    monkeypatch.setattr(tickets, "LIFETIME", -1.0)
    with pytest.raises(Unauthorized, match="too old"):
        ours.check(ours.issue("read", "an-image", "user", "project", "req-1"))
