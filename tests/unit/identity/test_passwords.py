# SPDX-License-Identifier: Apache-2.0
"""Password hashes of any length and alphabet."""

from __future__ import annotations

import pytest

from nova.identity.passwords import check_password, hash_password


@pytest.mark.parametrize(
    "password", ["", "secret", "pässwörd 密码 🔑", "x" * 71, "x" * 72, "x" * 73, "ß" * 4000]
)
def test_a_password_fits_its_hash_and_no_other(password: str) -> None:
    hashed = hash_password(password, 4)
    assert len(hashed) <= 128
    assert check_password(password, hashed, 4)
    assert not check_password(password + "x", hashed, 4)


def test_bytes_after_the_72nd_count() -> None:
    hashed = hash_password("x" * 72 + "a", 4)
    assert not check_password("x" * 72 + "b", hashed, 4)
    assert not check_password("x" * 72, hashed, 4)


def test_without_a_hash_no_password_is_right() -> None:
    assert not check_password("anything", None, 4)
    assert not check_password("", None, 4)
