# SPDX-License-Identifier: Apache-2.0
"""Stored secrets of users: credentials of any type, and EC2 keys, which are one type of them.

What is stored is encrypted with the service's own keys.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from cryptography.fernet import InvalidToken

from nova.db.stores.identity import IdentityStore
from nova.decoding import json_decoder
from nova.errors import InvalidInput, NotFound
from nova.identity.core import IdentityCore, new_id
from nova.identity.fields import Field, check, extras
from nova.identity.projects import require_project
from nova.identity.users import require_user
from nova.objects.identity import Credential, Filter, Page

EC2 = "ec2"

CREDENTIAL_FIELDS = (
    Field(name="blob", required=True, maximum=65536),
    Field(name="type", required=True, minimum=1, maximum=255),
    Field(name="user_id", required=True, minimum=1, maximum=64),
    Field(name="project_id", nullable=True, maximum=64),
)
_decode_blob = json_decoder(dict[str, Any]).decode


class Ec2Key(msgspec.Struct, frozen=True):
    """An EC2 access key with its secret, good for one user in one project."""

    access: str
    secret: str
    user_id: str
    project_id: str


class CredentialOperations:
    """Makes, changes and deletes credentials."""

    def __init__(self, core: IdentityCore) -> None:
        self._core = core

    def get(self, credential_id: str) -> Credential:
        """The credential, its blob readable; ``NotFound``."""
        with self._core.read() as stores:
            return self._open(_require_credential(stores, credential_id))

    def search(self, filters: Sequence[Filter], page: Page) -> list[Credential]:
        """Credentials, their blobs readable."""
        with self._core.read() as stores:
            return [self._open(one) for one in stores.credentials.list(filters, page)]

    def create(self, values: Mapping[str, Any]) -> Credential:
        """A new credential from the ``credential`` object of a request.

        The blob of type ``ec2`` is JSON with ``access`` and ``secret``; it belongs to a project.
        """
        check(values, CREDENTIAL_FIELDS, "credential")
        kind = values["type"]
        credential_id = new_id()
        if kind == EC2:
            credential_id = ec2_credential_id(_ec2_blob(values["blob"])["access"])
            if values.get("project_id") is None:
                raise InvalidInput("credential.project_id", "An ec2 credential needs it.")

        def write(stores: IdentityStore) -> Credential:
            require_user(stores, values["user_id"])
            if values.get("project_id") is not None:
                require_project(stores, values["project_id"])
            return stores.credentials.create(
                {
                    "id": credential_id,
                    "user_id": values["user_id"],
                    "project_id": values.get("project_id"),
                    "type": kind,
                    "blob": self._seal(values["blob"]),
                    "extra": extras(values, CREDENTIAL_FIELDS, "credential"),
                }
            )

        made = self._core.run(write)
        return self._open(made)

    def update(self, credential_id: str, values: Mapping[str, Any]) -> Credential:
        """Change a credential. Whose an EC2 key is, and its access key, stay as they are."""
        check(values, CREDENTIAL_FIELDS, "credential", partial=True)

        def write(stores: IdentityStore) -> Credential:
            present = self._open(_require_credential(stores, credential_id))
            changes = {
                name: values[name] for name in ("type", "user_id", "project_id") if name in values
            }
            for name in changes:
                if EC2 in (present.type, changes.get("type")) and (
                    changes[name] != getattr(present, name)
                ):
                    raise InvalidInput(f"credential.{name}", "It cannot be changed.")
            if "blob" in values:
                if present.type == EC2:
                    access = _ec2_blob(values["blob"])["access"]
                    if ec2_credential_id(access) != credential_id:
                        raise InvalidInput("credential.blob", "Its access key cannot be changed.")
                changes["blob"] = self._seal(values["blob"])
            if "user_id" in changes:
                require_user(stores, changes["user_id"])
            extra = extras(values, CREDENTIAL_FIELDS, "credential")
            if extra:
                changes["extra"] = {**present.extra, **extra}
            if changes:
                stores.credentials.update(credential_id, changes)
            return self._open(_require_credential(stores, credential_id))

        return self._core.run(write)

    def delete(self, credential_id: str) -> None:
        """Delete a credential."""

        def write(stores: IdentityStore) -> None:
            _require_credential(stores, credential_id)
            stores.credentials.delete(credential_id)

        self._core.run(write)

    def create_ec2(self, user_id: str, project_id: str) -> Ec2Key:
        """A new EC2 key."""

        def write(stores: IdentityStore) -> Ec2Key:
            require_user(stores, user_id)
            require_project(stores, project_id)
            return self.store_ec2(stores, user_id, project_id)

        return self._core.run(write)

    def store_ec2(self, stores: IdentityStore, user_id: str, project_id: str) -> Ec2Key:
        """A new EC2 key, within a transaction."""
        key = Ec2Key(uuid.uuid4().hex, uuid.uuid4().hex, user_id, project_id)
        blob = msgspec.json.encode(
            {"access": key.access, "secret": key.secret, "trust_id": None}
        ).decode()
        stores.credentials.create(
            {
                "id": ec2_credential_id(key.access),
                "user_id": user_id,
                "project_id": project_id,
                "type": EC2,
                "blob": self._seal(blob),
                "extra": {},
            }
        )
        return key

    def ec2_keys(self, user_id: str) -> list[Ec2Key]:
        """The EC2 keys of a user."""
        with self._core.read() as stores:
            require_user(stores, user_id)
            return self.stored_ec2(stores, user_id)

    def stored_ec2(self, stores: IdentityStore, user_id: str) -> list[Ec2Key]:
        """The EC2 keys of a user, within a transaction; those that cannot be read are left out."""
        found = stores.credentials.list([Filter("user_id", user_id), Filter("type", EC2)])
        keys = (_ec2_key(self._open(one)) for one in found)
        return [key for key in keys if key is not None]

    def ec2_key(self, access: str) -> Ec2Key:
        """An EC2 key by its access key; ``NotFound``."""
        with self._core.read() as stores:
            found = stores.credentials.get(ec2_credential_id(access))
        key = None
        if found is not None and found.type == EC2:
            key = _ec2_key(self._open(found))
        if key is None:
            raise NotFound("EC2 access key not found.")
        return key

    def delete_ec2(self, access: str) -> None:
        """Delete an EC2 key."""
        self.delete(ec2_credential_id(access))

    def _seal(self, blob: str) -> str:
        return self._core.credential_keys.encrypt(blob.encode()).decode()

    def _open(self, sealed: Credential) -> Credential:
        try:
            blob = self._core.credential_keys.decrypt(sealed.blob.encode()).decode()
        except InvalidToken:
            # Its key is gone; what was in it is lost, and it must stay possible to delete it.
            blob = ""
        return msgspec.structs.replace(sealed, blob=blob)


def ec2_credential_id(access: str) -> str:
    """The credential id of an EC2 access key: its SHA-256."""
    return hashlib.sha256(access.encode()).hexdigest()


def _ec2_blob(blob: str) -> dict[str, str]:
    try:
        loaded = _decode_blob(blob)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidInput("credential.blob", "Invalid blob in credential: not JSON.") from None
    for name in ("access", "secret"):
        if not isinstance(loaded.get(name), str) or not loaded[name]:
            raise InvalidInput("credential.blob", f"It needs {name}, a string.")
    return loaded


def _ec2_key(credential: Credential) -> Ec2Key | None:
    try:
        blob = _ec2_blob(credential.blob)
    except InvalidInput:
        return None
    return Ec2Key(
        blob["access"], blob["secret"], credential.user_id, credential.project_id or ""
    )


def _require_credential(stores: IdentityStore, credential_id: str) -> Credential:
    found = stores.credentials.get(credential_id)
    if found is None:
        raise NotFound(f"Could not find credential: {credential_id}.")
    return found
