# SPDX-License-Identifier: Apache-2.0
"""The JSON schemas that the Image API v2 publishes for clients (``/v2/schemas/…``)."""

from __future__ import annotations

from typing import Any

from nova.image import fields

_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["null", "string"], "maxLength": 255}
_INTEGER = {"type": "integer"}
_BOOLEAN = {"type": "boolean"}


def _field(description: str, kind: dict[str, Any], *, read_only: bool = False) -> dict[str, Any]:
    return {
        **kind, "description": description, **({"readOnly": True} if read_only else {}),
    }


def _image_properties() -> dict[str, Any]:
    size = {"type": ["null", "integer"]}
    digest = {"type": ["null", "string"]}
    return {
        "id": _field("Identifier of the image", {
            "type": "string",
            "pattern": "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}"
                       "-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$",
        }),
        "name": _field("Name of the image", _TEXT_OR_NULL),
        "status": _field(
            "Status of the image", {"type": "string", "enum": list(fields.STATUSES)},
            read_only=True,
        ),
        "visibility": _field(
            "Who sees the image", {"type": "string", "enum": list(fields.VISIBILITIES)}
        ),
        "protected": _field("Whether the image can't be deleted", _BOOLEAN),
        "os_hidden": _field("Whether default lists leave the image out", _BOOLEAN),
        "checksum": _field("MD5 of the data", {**digest, "maxLength": 32}, read_only=True),
        "os_hash_algo": _field(
            "Algorithm of os_hash_value", {**digest, "maxLength": 64}, read_only=True
        ),
        "os_hash_value": _field(
            "Digest of the data by os_hash_algo", {**digest, "maxLength": 128}, read_only=True
        ),
        "owner": _field("Project that owns the image", _TEXT_OR_NULL),
        "size": _field("Bytes of the data", size, read_only=True),
        "virtual_size": _field("Bytes of the disk that the data stands for", size, read_only=True),
        "container_format": _field("Format of the container", {
            "type": ["null", "string"], "enum": [None, *fields.CONTAINER_FORMATS],
        }),
        "disk_format": _field("Format of the disk", {
            "type": ["null", "string"], "enum": [None, *fields.DISK_FORMATS],
        }),
        "created_at": _field("When the image was registered", _TEXT, read_only=True),
        "updated_at": _field("When the image was last changed", _TEXT, read_only=True),
        "tags": _field("Labels of the image", {
            "type": "array", "items": {"type": "string", "maxLength": 255},
        }),
        "min_ram": _field("MiB of memory needed to boot the image", _INTEGER),
        "min_disk": _field("GiB of disk needed to boot the image", _INTEGER),
        "self": _field("URL of the image", _TEXT, read_only=True),
        "file": _field("URL of the data", _TEXT, read_only=True),
        "schema": _field("URL of the schema", _TEXT, read_only=True),
    }


def _collection(name: str, item: dict[str, Any], *, paged: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {name: {"type": "array", "items": item}, "schema": _TEXT}
    links = [{"rel": "describedby", "href": "{schema}"}]
    if paged:
        properties |= {"first": _TEXT, "next": _TEXT}
        links = [
            {"rel": "first", "href": "{first}"}, {"rel": "next", "href": "{next}"}, *links,
        ]
    return {"name": name, "properties": properties, "links": links}


_IMAGE: dict[str, Any] = {
    "name": "image",
    "properties": _image_properties(),
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
_MEMBER: dict[str, Any] = {
    "name": "member",
    "properties": {
        "member_id": _field("Project that the image is shared with", _TEXT),
        "image_id": _field("Identifier of the image", _TEXT),
        "created_at": _field("When the project was added", _TEXT),
        "updated_at": _field("When the membership was last changed", _TEXT),
        "status": _field(
            "The project's answer",
            {"type": "string", "enum": ["pending", "accepted", "rejected"]},
        ),
        "schema": _TEXT,
    },
}
_TASK: dict[str, Any] = {
    "name": "task",
    "properties": dict.fromkeys(
        ("id", "type", "status", "owner", "message", "self", "schema"), _TEXT
    ),
}

#: The schemas by name.
SCHEMAS: dict[str, dict[str, Any]] = {
    "image": _IMAGE,
    "images": _collection("images", _IMAGE, paged=True),
    "member": _MEMBER,
    "members": _collection("members", _MEMBER, paged=False),
    "task": _TASK,
    "tasks": _collection("tasks", _TASK, paged=True),
}
