# SPDX-License-Identifier: Apache-2.0
"""Whatever is sent, the faces refuse it with one clear message, change nothing, and stay up.

The compute API's bad requests come from its own tables (``fuzz_cases``), and from schemathesis with the
OpenAPI document; what HTTP clients do not send is written to sockets.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from nova.api.compute.openapi import document
from nova.db.schema import metadata
from tests.api import fuzz_cases
from tests.api.cloud_process import BASE_PORTS, CloudProcess
from tests.api.fuzz_cases import Case
from tests.api.public_clients import clients_directory
from tests.api.raw_http import PATHS, REFUSED, Raw, requests_for

#: Longer walks, and others, are for the hand.
SCHEMATHESIS_SECONDS = int(os.environ.get("SCHEMATHESIS_SECONDS", "30"))
SCHEMATHESIS_SEED = os.environ.get("SCHEMATHESIS_SEED", "1")
LONGEST_MESSAGE = 8000


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    """A cloud of its own: much of what is sent is done."""
    running = CloudProcess(
        tmp_path_factory.mktemp("fuzz") / "state",
        arguments=["--set", "identity.bcrypt_rounds=4", "--set", "quota.instances=5"],
    )
    yield running.start()
    assert running.stop() == 0, running.log[-4000:]
    assert "Traceback" not in running.log, running.log[-8000:]


class Prober:
    """Sends cases as the administrator and judges the answers."""

    def __init__(self, cloud: CloudProcess) -> None:
        self._cloud = cloud
        self._token, self.project = cloud.login("admin")
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", BASE_PORTS["compute"] + cloud.offset, timeout=30
        )
        self._books = sqlite3.connect(f"file:{cloud.state}/nova.sqlite?mode=ro", uri=True)

    def send(self, case: Case) -> tuple[int, bytes]:
        headers = {
            "X-Auth-Token": self._token, "OpenStack-API-Version": f"compute 2.{case.minor}"
        }
        data = None
        if case.body is not None or case.what == "whole body":
            headers["Content-Type"] = "application/json"
            data = json.dumps(case.body)
        self._connection.request(case.method, f"/v2.1{case.path}", data, headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def json(self, path: str) -> Any:
        return json.loads(self.send(Case(1, "GET", path))[1])

    def known(self) -> dict[str, str]:
        """Names and ids that are there, for paths and bodies."""
        image = self.json("/images")["images"][0]["id"]
        network = self.json("/os-networks")["networks"][0]["id"]
        status, body = self.send(Case(1, "POST", "/servers", {"server": {
            "name": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "imageRef": image, "flavorRef": "1",
        }}))
        assert status == 202, body
        server = json.loads(body)["server"]["id"]
        return {
            "server_id": server, "image_id": image, "imageRef": image, "flavor_id": "1",
            "flavorRef": "1", "network_id": network, "uuid": network, "host_name": "fake-1",
            "host": "fake-1", "binary": "nova-compute", "project_id": self.project,
            "tenant_id": self.project, "label": "private",
        }

    def check(self, cases: Iterable[Case]) -> int:
        """Send all; returns how many were refused."""
        refused = 0
        for case in cases:
            before = self._version()
            status, body = self.send(case)
            if status < 400:
                continue
            refused += 1
            complaint = complaint_about(status, body)
            assert not complaint, f"{complaint}: {status} {body[:500]!r} for {case}"
            if self._version() != before and status != 501:
                self._check_nothing_changed(case, status)
        return refused

    def _version(self) -> int:
        """Another number after every commit of anybody."""
        return int(self._books.execute("PRAGMA data_version").fetchone()[0])

    def _counts(self) -> list[int]:
        tables = " UNION ALL ".join(f'SELECT count(*) FROM "{name}"' for name in metadata.tables)
        return [row[0] for row in self._books.execute(tables)]

    def _check_nothing_changed(self, case: Case, status: int) -> None:
        """Somebody wrote meanwhile, maybe an earlier request's work: once that is done, again."""
        open_ = "SELECT count(*) FROM operations WHERE state IN ('queued', 'running')"
        deadline = time.monotonic() + 20
        while self._books.execute(open_).fetchone()[0]:
            assert time.monotonic() < deadline, "operations do not end"
            time.sleep(0.01)
        before = self._counts()
        again, _ = self.send(case)
        if again >= 400:
            assert self._counts() == before, f"{status}, but rows came or went: {case}"


def complaint_about(status: int, body: bytes) -> str:
    """What is wrong with a refusal of the compute API; empty for a good one."""
    if status >= 500 and status != 501:
        return "an error of ours"
    try:
        decoded = json.loads(body)
        (content,) = decoded.values()
        code, message = content["code"], content["message"]
    except (ValueError, AttributeError, KeyError, TypeError):
        return "not the API's own error body"
    if code != status or not isinstance(message, str) or not 0 < len(message) <= LONGEST_MESSAGE:
        return "not one clear message"
    return ""


@pytest.fixture(scope="module")
def prober(target: CloudProcess) -> Prober:
    return Prober(target)


@pytest.mark.timeout(180)
def test_every_field_of_every_body_refuses_odd_values(prober: Prober) -> None:
    assert prober.check(fuzz_cases.body_cases(prober.known())) > 10_000


def test_every_parameter_of_every_path_refuses_odd_ids(prober: Prober) -> None:
    assert prober.check(fuzz_cases.id_cases()) > 1_000


@pytest.mark.timeout(180)
def test_every_query_parameter_bears_odd_values(prober: Prober) -> None:
    assert prober.check(fuzz_cases.query_cases(prober.known())) > 1_000


ENDLESS = (
    "(?:(?:a|aa?){20}){12}b", "((a{0,20}){0,20}){0,20}b", "(?:a|aa|aaa){20}b", "(a{1,20}){1,20}b",
    "(a?){20}(a?){20}a{20}b", "(a+)+b", "a*a*a*a*b",
)


def test_name_patterns_that_would_run_for_ever_are_refused(prober: Prober) -> None:
    """One such search stops the whole process: the regular expressions of Python hold its lock."""
    prober.known()
    for pattern in ENDLESS:
        began = time.monotonic()
        status, body = prober.send(Case(1, "GET", f"/servers?name={quote(pattern)}"))
        assert (status, time.monotonic() - began < 1) == (400, True), pattern
        assert b"too complex" in body
    for pattern in ("a+", "^a.*a$", ".*a.*a.*", "(web|a)a", "[0-9]{1,3}(\\.[0-9]{1,3}){3}", "größe"):
        status, body = prober.send(Case(1, "GET", f"/servers?name={quote(pattern)}"))
        assert status == 200, (pattern, body)


@pytest.mark.parametrize("face", sorted(PATHS))
def test_broken_http_is_refused_by_every_face(target: CloudProcess, face: str) -> None:
    raw = Raw(BASE_PORTS[face] + target.offset, target.login("admin")[0])
    wrong = []
    for name, allowed, request in requests_for(face, raw.token):
        began = time.monotonic()
        status, body = raw.send(request)
        took = time.monotonic() - began
        good = status in allowed and took < 5
        if good and status >= 400 and body:
            content = json.loads(body)
            good = bool(next(iter(content.values()))["message"])
        if not good:
            wrong.append((name, status, round(took, 2), body[:200]))
    assert wrong == []


@pytest.mark.parametrize("face", sorted(PATHS))
def test_a_hundred_megabytes_are_refused_at_once_and_not_kept(
    target: CloudProcess, face: str
) -> None:
    raw = Raw(BASE_PORTS[face] + target.offset, target.login("admin")[0])
    before = resident(target.process.pid)
    for chunked in (False, True, False, True):
        began = time.monotonic()
        status, body = raw.send_hundred_megabytes(face, chunked=chunked)
        assert time.monotonic() - began < 3
        assert status == 413, body
        assert b"too large" in body
    assert resident(target.process.pid) - before < 24


def resident(pid: int) -> float:
    """Memory of a process, MiB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found.group(1)) / 1024


@pytest.mark.parametrize("face", sorted(PATHS))
def test_silent_clients_do_not_keep_others_out(target: CloudProcess, face: str) -> None:
    raw = Raw(BASE_PORTS[face] + target.offset, target.login("admin")[0])
    with raw.silent(face, 40):
        began = time.monotonic()
        assert target.call(face, "GET", "/", by=None).status in (200, 300)
        assert time.monotonic() - began < 1


def test_bad_tokens_are_told_to_log_in(target: CloudProcess) -> None:
    good = target.login("demo")[0]
    for token in ("", "x", "x" * 60_000, good[:-4], good[:-4] + "AAAA", good + "A", "é\x80", good[::-1]):
        for face, path in (("compute", "/v2.1/servers"), ("image", "/v2/images"), ("identity", "/v3/users")):
            answer = target.call(face, "GET", path, by=token)
            assert answer.status == 401, (face, token[:40])
            assert next(iter(answer.json.values()))["message"]
            assert REFUSED & {answer.status}


@pytest.mark.timeout(SCHEMATHESIS_SECONDS + 120)
def test_schemathesis_finds_no_error_of_ours(target: CloudProcess, tmp_path: Path) -> None:
    program = clients_directory() / "schemathesis"
    base = f"{target.url('compute')}/v2.1"
    schema = document(server=base)
    fill_in(schema, Prober(target).known())
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(schema))
    done = subprocess.run(
        [
            str(program), "run", str(path), "--url", base, "--no-color", "--seed", SCHEMATHESIS_SEED,
            "--header", f"X-Auth-Token: {target.login('admin')[0]}",
            "--header", "OpenStack-API-Version: compute 2.104",
            "--phases", "coverage,fuzzing", "--max-time", str(SCHEMATHESIS_SECONDS),
            "--checks", "not_a_server_error,response_schema_conformance,content_type_conformance",
            "--suppress-health-check", "all", "--warnings", "off", "--continue-on-failure",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=SCHEMATHESIS_SECONDS + 90, check=False,
        env=os.environ | {"PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested:" in done.stdout


def fill_in(schema: dict[str, Any], known: dict[str, str]) -> None:
    """Name things that are there, so that more than the first check of each route is reached."""
    for methods in schema["paths"].values():
        for method, operation in methods.items():
            for parameter in operation["parameters"]:
                name = parameter.get("name")
                if parameter.get("in") == "path" and name in known and method != "delete":
                    parameter["schema"] = {"type": "string", "enum": [known[name], "nobody"]}
