# SPDX-License-Identifier: Apache-2.0
"""Lines of the log: what they carry, where they go, and what is refused."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nova import log
from nova.conf.load import load
from nova.conf.log import LogSection

LOG = logging.getLogger("nova.test")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    names = ("nova", "nova.access", "nova.operations")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    for handler in list(root.handlers):
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(False)
    log.belongs_to_nothing()


def configured(**options: object) -> io.StringIO:
    stream = io.StringIO()
    log.configure(dataclasses.replace(LogSection(), **options), "nova-test", stream=stream)  # type: ignore[arg-type]
    return stream


def test_a_line_of_a_request_carries_its_id_user_and_project() -> None:
    stream = configured()
    log.belongs_to("req-1", "ann", "acme")
    LOG.info("Grüße %s", "日本")
    assert "INFO nova.test [req-1 ann acme] Grüße 日本\n" in stream.getvalue()


def test_a_line_of_no_request_has_a_dash() -> None:
    stream = configured()
    LOG.info("started")
    assert "nova.test [-] started" in stream.getvalue()


def test_about_ends_with_its_block_and_nests() -> None:
    stream = configured()
    log.belongs_to("req-outer")
    with log.about("req-inner", "the-uuid"):
        LOG.info("within")
    LOG.info("after")
    within, after = stream.getvalue().splitlines()
    assert "[req-inner - -] [instance: the-uuid] within" in within
    assert "[req-outer - -] after" in after


def test_threads_do_not_inherit_what_another_is_about() -> None:
    stream = configured()
    log.belongs_to("req-1")
    thread = threading.Thread(target=lambda: LOG.info("elsewhere"))
    thread.start()
    thread.join()
    assert "[-] elsewhere" in stream.getvalue()


def test_every_line_of_a_trace_carries_the_id() -> None:
    stream = configured()
    with log.about("req-1"):
        try:
            raise ValueError("bad")
        except ValueError:
            LOG.exception("it failed")
    lines = stream.getvalue().splitlines()
    assert len(lines) > 3
    assert all("req-1" in line for line in lines)


def test_json_lines_have_the_same_facts() -> None:
    stream = configured(use_json=True)
    with log.about("req-1", "the-uuid", "ann", "acme"):
        LOG.warning("näh: %d", 3)
    line = json.loads(stream.getvalue())
    assert line["message"] == "näh: 3"
    assert line["level"] == "WARNING"
    assert (line["request_id"], line["instance_uuid"]) == ("req-1", "the-uuid")
    assert (line["user_id"], line["project_id"]) == ("ann", "acme")


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, ["life"]),
        ({"verbose": True}, ["request", "step", "life"]),
        ({"debug": True}, ["request", "step", "life", "detail", "library"]),
    ],
)
def test_verbose_adds_requests_and_steps_and_debug_everything(
    options: dict[str, bool], shown: list[str]
) -> None:
    stream = configured(**options, logging_debug_format_suffix="")
    log.ACCESS.info("request")
    log.OPERATIONS.info("step")
    LOG.info("life")
    LOG.debug("detail")
    logging.getLogger("somebody.else").debug("library")
    assert [line.rpartition(" ")[2] for line in stream.getvalue().splitlines()] == shown


def test_the_formats_of_kilo_are_taken() -> None:
    stream = configured(
        logging_context_format_string="%(levelname)s [%(request_id)s %(user)s %(tenant)s] %(message)s",
        logging_default_format_string="%(levelname)s %(message)s",
    )
    LOG.info("one")
    log.belongs_to("req-1", "ann", "acme")
    LOG.info("two")
    assert stream.getvalue() == "INFO one\nINFO [req-1 ann acme] two\n"


def test_a_directory_alone_names_the_file_after_the_command(tmp_path: Path) -> None:
    stream = configured(log_dir=str(tmp_path))
    LOG.info("to the file")
    assert "to the file" in (tmp_path / "nova-test.log").read_text()
    assert stream.getvalue() == ""


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path) -> None:
    configured(log_dir=str(tmp_path), log_file="n.log")
    LOG.info("first")
    (tmp_path / "n.log").rename(tmp_path / "n.log.1")
    LOG.info("second")
    assert "second" in (tmp_path / "n.log").read_text()
    assert "second" not in (tmp_path / "n.log.1").read_text()


def test_standard_error_beside_a_file_where_asked(tmp_path: Path) -> None:
    stream = configured(log_dir=str(tmp_path), use_stderr=True)
    LOG.info("both")
    assert "both" in stream.getvalue()
    assert "both" in (tmp_path / "nova-test.log").read_text()


def test_configuring_again_replaces_what_was() -> None:
    first, second = configured(), configured()
    LOG.info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"log_dir": "/nonexistent/place"}, "log_file /nonexistent/place/nova-test.log"),
        ({"default_log_levels": ("sqlalchemy",)}, "default_log_levels sqlalchemy"),
        ({"default_log_levels": ("sqlalchemy=LOUD",)}, "default_log_levels sqlalchemy=LOUD"),
        ({"logging_default_format_string": "%(nonsense)s"}, "nonsense"),
        ({"use_syslog": True, "syslog_log_facility": "LOG_MOON"}, "syslog_log_facility LOG_MOON"),
        ({"log_config_append": "/nonexistent"}, "log_config_append /nonexistent"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changed(options: dict[str, object], named: str) -> None:
    before = configured()
    with pytest.raises(log.LogRefused, match=named):
        configured(**options)
    LOG.info("still here")
    assert "still here" in before.getvalue()


def test_the_flags_of_daemons_set_the_options() -> None:
    parser = argparse.ArgumentParser()
    log.add_arguments(parser)
    given = parser.parse_args(["--log-dir=/var/log/nova", "--log-file=nova-network.log", "-v", "-d"])
    section = load([], log.overrides_of(given)).log
    assert (section.verbose, section.debug) == (True, True)
    assert log.log_path(section, "nova-network") == Path("/var/log/nova/nova-network.log")


def test_flags_that_are_not_given_leave_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "nova.conf"
    path.write_text("[DEFAULT]\nverbose = True\nlogdir = /elsewhere\n")
    parser = argparse.ArgumentParser()
    log.add_arguments(parser)
    section = load([str(path)], log.overrides_of(parser.parse_args([]))).log
    assert section.verbose
    assert section.log_dir == "/elsewhere"


def test_ids_of_messages_that_are_none_stay_out_of_the_log() -> None:
    log.belongs_to_message("req-0a1b-2c3d")
    assert log.current_request_id() == "req-0a1b-2c3d"
    for forged in ("req-1\n2026 ERROR nova all is lost", "req-" + "x" * 200, "root", "", None):
        log.belongs_to_message(forged)
        assert log.current_request_id() is None
