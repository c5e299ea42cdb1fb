# SPDX-License-Identifier: Apache-2.0
"""An identity service on a fresh database, set up as every cloud starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nova.conf.identity import IdentitySection
from nova.db.engine import Database
from nova.identity.bootstrap import BootstrapResult, ensure_cloud
from nova.identity.service import IdentityService
from nova.identity.validation import ValidatedToken
from tests.databases import new_database

PASSWORDS = {"admin": "admin secret", "demo": "demo secret"}

Login = Callable[..., ValidatedToken]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return new_database(tmp_path)


@pytest.fixture
def service(database: Database, tmp_path: Path) -> IdentityService:
    return IdentityService(database, IdentitySection(bcrypt_rounds=4), tmp_path / "keys")


@pytest.fixture
def cloud(service: IdentityService) -> BootstrapResult:
    return ensure_cloud(
        service,
        admin_password=PASSWORDS["admin"],
        demo_password=PASSWORDS["demo"],
        endpoints=[],
    )


@pytest.fixture
def login(service: IdentityService, cloud: BootstrapResult) -> Login:
    def log_in(
        name: str, password: str | None = None, scope: Any = "default project"
    ) -> ValidatedToken:
        user = {"name": name, "password": password or PASSWORDS[name]}
        auth: dict[str, Any] = {
            "identity": {"methods": ["password"], "password": {"user": user}}
        }
        if scope != "default project":
            auth["scope"] = scope
        return service.authentication.authenticate(auth)

    return log_in
