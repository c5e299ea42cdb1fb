# SPDX-License-Identifier: Apache-2.0
"""The compute API as an OpenAPI 3.1 document, made from the tables that serve it.

Paths, path parameters and queries come from the routes, bodies from their Structs, each as one
microversion has it. What no schema says (states, rights, what exists) the handlers check.
https://spec.openapis.org/oas/v3.1.1
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from nova.api.compute.bodies import Body, shape_of
from nova.api.compute.routes import ROUTES
from nova.api.compute.routing import Route, gone
from nova.api.compute.server_actions import ACTIONS, act
from nova.api.compute.versions import MAXIMUM

Schema = dict[str, Any]

_PARAMETER = re.compile(r"\{(\w+)\}")
_REF = "#/$defs/"
_JSON = "application/json"

_ERROR: Schema = {
    "description": "Refused; one member, named after the kind of error.",
    "content": {
        _JSON: {
            "schema": {
                "type": "object", "minProperties": 1,
                "additionalProperties": {
                    "type": "object", "required": ["code", "message"],
                    "properties": {
                        "code": {"type": "integer"}, "message": {"type": "string", "minLength": 1},
                    },
                },
            }
        }
    },
}


def document(minor: int = MAXIMUM, server: str = "http://127.0.0.1:8774/v2.1") -> Schema:
    """The document of microversion ``2.<minor>``; ``server`` is the URL of the v2.1 endpoint."""
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        if route.serves(minor, legacy=False) and route.handler is not gone:
            # The first that serves a version is the one that answers.
            paths.setdefault(route.path, {}).setdefault(route.method.lower(), _operation(route, minor))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Nova compute API", "version": f"2.{minor}",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
            "parameters": {
                "version": {
                    "name": "OpenStack-API-Version", "in": "header", "required": False,
                    "description": f"This document holds with compute 2.{minor} alone.",
                    "schema": {"type": "string"},
                }
            },
            "responses": {"error": _ERROR},
        },
    }


def _operation(route: Route, minor: int) -> Schema:
    made: Schema = {
        "operationId": _operation_id(route),
        "tags": [route.handler.__module__.rpartition(".")[2]],
        "parameters": [{"$ref": "#/components/parameters/version"}, *_parameters(route, minor)],
        "responses": {
            "2XX": {"description": f"Done; {route.success} as a rule."},
            "default": {"$ref": "#/components/responses/error"},
        },
    }
    summary = (route.handler.__doc__ or "").strip().partition("\n")[0]
    if summary:
        made["summary"] = summary
    schema = _request_schema(route, minor)
    if schema is not None:
        made["requestBody"] = {
            "required": not route.optional_body, "content": {_JSON: {"schema": schema}}
        }
    return made


def _operation_id(route: Route) -> str:
    words = re.findall(r"\w+", route.path)
    return "_".join([route.method.lower(), *(word.lower() for word in words)])


def _parameters(route: Route, minor: int) -> Iterable[Schema]:
    for name in _PARAMETER.findall(route.path):
        yield {
            "name": name, "in": "path", "required": True,
            "schema": {"type": "string", "minLength": 1},
        }
    if route.query is not None:
        for name, since in sorted(route.query.since.items()):
            if since <= minor:
                yield {"name": name, "in": "query", "schema": {"type": "string"}}


def _request_schema(route: Route, minor: int) -> Schema | None:
    if route.handler is act:
        return {"oneOf": list(_action_schemas(minor))}
    return None if route.body is None else body_schema(route.body, minor)


def _action_schemas(minor: int) -> Iterable[Schema]:
    for key, rows in sorted(ACTIONS.items()):
        for row in rows:
            if row.serves(minor):
                value: Schema = {"type": "null"} if row.null else {}
                yield _object({key: value}) if row.body is None else body_schema(row.body, minor)
                break


def body_schema(body: Body[Any], minor: int) -> Schema:
    """The JSON schema of a whole body, wrapping key and all, at a microversion."""
    known = shape_of(body.type_, minor)
    made = msgspec.json.schema(body.type_)
    inner: Schema = _inline(made, made.get("$defs", {}), known, body.tolerant)
    if body.key is None:
        return inner
    properties = {body.key: {"anyOf": [inner, {"type": "null"}]} if body.nullable else inner}
    for name in body.siblings:
        properties[name] = {"type": "object"}
    return _object(properties, [body.key], open_=body.tolerant)


def _object(
    properties: Schema, required: Iterable[str] | None = None, *, open_: bool = False
) -> Schema:
    return {
        "type": "object", "properties": properties,
        "required": list(properties) if required is None else list(required),
        "additionalProperties": open_,
    }


def _inline(schema: Any, definitions: Schema, known: Schema | None, tolerant: bool) -> Any:
    """A schema without references, and without the properties that the version does not know."""
    if isinstance(schema, list):
        return [_inline(each, definitions, known, tolerant) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        named = definitions[schema["$ref"].removeprefix(_REF)]
        return _inline(named, definitions, known, tolerant)
    if "properties" in schema and known is not None:
        properties = {
            name: _inline(each, definitions, known[name], tolerant)
            for name, each in schema["properties"].items() if name in known
        }
        required = [name for name in schema.get("required", []) if name in known]
        return _object(properties, required, open_=tolerant)
    return {
        key: value if key in ("default", "enum", "const", "required")
        else _inline(value, definitions, known, tolerant)
        for key, value in schema.items()
        if key != "$defs"
    }
