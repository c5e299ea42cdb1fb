# SPDX-License-Identifier: Apache-2.0
"""The token's text: what goes in comes out, and nothing else does."""

from __future__ import annotations

import datetime
import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet, MultiFernet
from hypothesis import given
from hypothesis import strategies as st

from nova.identity.keys import load_keys
from nova.identity.tokens import (
    METHODS,
    Scope,
    TokenPayload,
    decode_token,
    encode_token,
    new_audit_id,
)

KEYS = MultiFernet([Fernet(Fernet.generate_key())])
WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901)

identifiers = st.one_of(
    st.uuids().map(lambda one: one.hex),
    st.uuids().map(lambda one: one.hex.upper()),
    st.text(min_size=1, max_size=64),
)


def payload(**changes: object) -> TokenPayload:
    values: dict[str, object] = {
        "methods": ("password",),
        "user_id": "0123456789abcdef" * 2,
        "scope": Scope("project", "fedcba9876543210" * 2),
        "issued_at": WHEN,
        "expires_at": WHEN + datetime.timedelta(hours=1),
        "audit_ids": (new_audit_id(),),
    }
    return TokenPayload(**{**values, **changes})  # type: ignore[arg-type]


@given(
    user_id=identifiers,
    scope_id=identifiers,
    methods=st.lists(st.sampled_from(METHODS), min_size=1, unique=True),
)
def test_a_payload_survives_the_round_trip(
    user_id: str, scope_id: str, methods: list[str]
) -> None:
    ordered = tuple(method for method in METHODS if method in methods)
    one = payload(user_id=user_id, scope=Scope("domain", scope_id), methods=ordered)
    assert decode_token(KEYS, encode_token(KEYS, one)) == one


def test_a_usual_token_is_short_and_safe_in_an_address() -> None:
    token = encode_token(KEYS, payload())
    assert len(token) < 255
    assert set(token) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )


@pytest.mark.parametrize("token", ["", "x", "gAAAAA", "é" * 40, "a" * 100_000, "=" * 30, "\n"])
def test_what_is_no_token_decodes_to_nothing(token: str) -> None:
    assert decode_token(KEYS, token) is None


def test_a_changed_token_is_refused() -> None:
    token = encode_token(KEYS, payload())
    for position in (10, 60, len(token) - 5):
        other = "A" if token[position] != "A" else "B"
        assert decode_token(KEYS, token[:position] + other + token[position + 1 :]) is None


def test_a_token_of_other_keys_is_refused() -> None:
    other = MultiFernet([Fernet(Fernet.generate_key())])
    assert decode_token(KEYS, encode_token(other, payload())) is None


def test_keys_are_made_once_and_are_their_owners_alone(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "tokens"
    token = encode_token(load_keys(directory), payload())
    assert decode_token(load_keys(directory), token) is not None
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [one.name for one in directory.iterdir()] == ["1"]
    assert stat.S_IMODE((directory / "1").stat().st_mode) == 0o600


def test_a_key_with_a_higher_number_encrypts_and_older_ones_still_decrypt(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "tokens"
    old = encode_token(load_keys(directory), payload())
    newer = Fernet.generate_key()
    (directory / "2").write_bytes(newer)
    keys = load_keys(directory)
    assert decode_token(keys, old) is not None
    only_newer = MultiFernet([Fernet(newer)])
    assert decode_token(only_newer, encode_token(keys, payload())) is not None


def test_a_broken_key_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "1").write_text("not a key")
    with pytest.raises(ValueError, match="1 does not hold a Fernet key"):
        load_keys(tmp_path)
