# SPDX-License-Identifier: Apache-2.0
"""Reads configuration files as an operator wrote them and says of each option what becomes of it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from oslo_config import cfg

from nova.conf.load import SECTIONS
from nova.conf.retired import RETIRED
from nova.conf.section import options_of

LOG = logging.getLogger(__name__)

#: What becomes of an option.
READ = "read"
RENAMED = "renamed"
IGNORED = "ignored"
UNKNOWN = "unknown"
WRONG = "wrong"


_LEVELS = {IGNORED: logging.WARNING, UNKNOWN: logging.WARNING, RENAMED: logging.INFO}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of a file that sets an option."""

    kind: str
    file: str
    line: int
    group: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: [{self.group}] {self.name}: {self.text}"


@dataclasses.dataclass(frozen=True)
class _Known:
    """An option, its present name, and whether it was asked for by that."""

    group: str
    option: cfg.Opt
    renamed: bool


def inspect(files: Sequence[str]) -> list[Finding]:
    """What becomes of every option in ``files``, in their order.

    Raises ``oslo_config.cfg.Error`` for a file that cannot be read or is no configuration.
    """
    logging.getLogger("oslo_config.cfg").setLevel(logging.ERROR)
    conf = _registered()
    conf(args=[], project="nova", default_config_files=list(files), default_config_dirs=[])
    known = _known()
    return [
        _judge(conf, known, file, line, group, name)
        for file in files
        for line, group, name in _assignments(file)
    ]


def warn(files: Sequence[str]) -> None:
    """Log one warning for each option in ``files`` that has no effect, and a line for a new name."""
    for finding in inspect(files):
        level = _LEVELS.get(finding.kind)
        if level is not None:
            LOG.log(
                level, "option [%s] %s (%s:%d) is %s: %s", finding.group, finding.name, finding.file,
                finding.line, finding.kind, finding.text,
            )


def _registered() -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    for group, section in SECTIONS.values():
        conf.register_opts(options_of(section), group=None if group == "DEFAULT" else group)
    return conf


def _known() -> dict[tuple[str, str], _Known]:
    """Every name that is read, the present ones over the former."""
    former: dict[tuple[str, str], _Known] = {}
    present: dict[tuple[str, str], _Known] = {}
    for group, section in SECTIONS.values():
        for each in options_of(section):
            present[group, each.name] = _Known(group, each, renamed=False)
            for old in each.deprecated_opts:
                former[old.group or "DEFAULT", old.name] = _Known(group, each, renamed=True)
    return {**former, **present}


def _assignments(file: str) -> Iterator[tuple[int, str, str]]:
    """(line, group, name) of every assignment, by the rules of oslo.config's parser."""
    group = "DEFAULT"
    with Path(file).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            text = line.rstrip()
            if not text or text[0] in "#; \t":
                continue
            if text[0] == "[":
                name = text[1:].partition("]")[0].strip()
                group = name if name == "DEFAULT" else name.lower()
                continue
            ends = [place for place in (text.find("="), text.find(":")) if place > 0]
            if ends:
                yield number, group, text[: min(ends)].strip()


def _judge(
    conf: cfg.ConfigOpts,
    known: dict[tuple[str, str], _Known],
    file: str,
    line: int,
    group: str,
    name: str,
) -> Finding:
    def found(kind: str, text: str) -> Finding:
        return Finding(kind, file, line, group, name, text)

    option = known.get((group, name))
    if option is None:
        why = RETIRED.get((group, name)) or RETIRED.get((group, "*"))
        if why is not None:
            return found(IGNORED, f"it has no effect: {why}")
        return found(UNKNOWN, _nearest(known, group, name))
    try:
        source = conf if option.group == "DEFAULT" else conf[option.group]
        value = source[option.option.name]
    except (cfg.Error, ValueError) as error:
        return found(WRONG, str(error))
    shown = "***" if option.option.secret else repr(value)
    if option.renamed:
        return found(RENAMED, f"it is read; its name is now [{option.group}] {option.option.name}")
    return found(READ, f"{shown}: {option.option.help}")


def _nearest(known: dict[tuple[str, str], _Known], group: str, name: str) -> str:
    """What may have been meant by a name that there is not."""
    import difflib

    groups = {each for each, _name in known}
    near = difflib.get_close_matches(group, groups, 1)
    if group not in groups and near:
        return f"there is no group of that name; did you mean [{near[0]}]?"
    elsewhere = sorted(each for each, option in known if option == name and each != group)
    if elsewhere:
        return f"there is no such option; one of that name is in [{'], ['.join(elsewhere)}]"
    if group not in groups:
        return "there is no group of that name"
    here = [option for each, option in known if each == group]
    near = difflib.get_close_matches(name, here, 3, 0.6)
    if near:
        return f"there is no such option; did you mean {' or '.join(near)}?"
    everywhere = {option: each for each, option in known}
    near = difflib.get_close_matches(name, everywhere, 1, 0.75)
    hint = f"; did you mean [{everywhere[near[0]]}] {near[0]}?" if near else ""
    return f"there is no such option{hint}"
