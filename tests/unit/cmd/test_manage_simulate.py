# SPDX-License-Identifier: Apache-2.0
"""``nova-manage simulate``: what it prints, and what it refuses."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from nova.cmd.manage import main


def simulate(*arguments: str) -> dict[str, str]:
    """Run it and read its table."""
    output = io.StringIO()
    assert main(["simulate", "run", *arguments], output) == 0
    rows = [line.rsplit("  ", 1) for line in output.getvalue().splitlines()[1:]]
    return {name.strip(): value.strip() for name, value in rows}


def test_a_burst_of_equal_servers_is_spread_evenly(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    trace.write_text(
        "\n".join(
            f'{{"at": {n / 100}, "server": "s{n}", "vcpus": 1, "memory_mb": 512, "disk_gb": 1}}'
            for n in range(81)
        )
    )
    found = simulate("--hosts", "4", "--trace", str(trace))
    assert found["placed"] == "81"
    assert found["servers on a host, most minus least in a zone"] == "1"


def test_what_does_not_fit_is_counted_as_rejected() -> None:
    found = simulate("--hosts", "1", "--vcpus", "1", "--memory_mb", "2048", "--servers", "100")
    assert int(found["placed"]) < 100
    assert int(found["placed"]) + int(found["rejected"]) == 100


def test_hot_hosts_get_fewer_and_the_option_that_says_so_can_be_tried() -> None:
    shape = ["--hosts", "10", "--hot", "2", "--servers", "200"]
    means = [
        {kind: float(found[f"servers on a {kind}, mean"]) for kind in ("hot host", "host that is not hot")}
        for found in (simulate(*shape), simulate(*shape, "--option", "load_hash_measured=0"))
    ]
    assert means[0]["hot host"] < 0.7 * means[0]["host that is not hot"]
    assert means[1]["hot host"] > 0.7 * means[1]["host that is not hot"]


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--option", "load_hash_bucket=x"], "load_hash_bucket"),
        (["--weighers", "NoSuchWeigher"], "NoSuchWeigher"),
        (["--trace", "/nonexistent/trace"], "/nonexistent/trace"),
    ],
)
def test_bad_input_is_one_line_that_names_it(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "run", *arguments], io.StringIO()) == 1
    error = capsys.readouterr().err
    assert named in error
    assert len(error.splitlines()) == 1
