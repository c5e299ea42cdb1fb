# SPDX-License-Identifier: Apache-2.0
"""What a built-in filter is: a mask over the host table."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

import numpy as np

from nova.conf.scheduler import SchedulerSection
from nova.objects.request_spec import RequestSpec
from nova.scheduler.table import HostTable, Mask


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What filters and weighers may need besides the table and the request.

    ``flavors_by_host`` answers the flavor ids that the servers on each host have,
    ``instances_of_host`` the servers on one host, ``image_properties_by_host`` how many servers on each
    host come from images with a (property, value). All are optional and asked only by filters and
    weighers that cannot do without.
    """

    section: SchedulerSection
    default_zone: str = "nova"
    flavors_by_host: Callable[[], Mapping[str, Collection[str]]] | None = None
    instances_of_host: Callable[[str], Collection[Any]] | None = None
    image_properties_by_host: (
        Callable[[], Mapping[str, Mapping[tuple[str, str], int]]] | None
    ) = None


@dataclasses.dataclass
class Attempt:
    """What is known while one request is placed.

    ``group_hosts`` counts the members of the request's server group on each host, those placed
    earlier in the same batch included.
    """

    group_hosts: Counter[str] = dataclasses.field(default_factory=Counter)


class Filter:
    """A built-in filter.

    ``fixed`` filters look only at facts of hosts and at the request's kind, never at what is
    claimed or placed; their masks are kept while the table's ``generation`` stays.
    """

    fixed: ClassVar[bool] = False

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.section = surroundings.section

    @property
    def name(self) -> str:
        """The name by which operators know it."""
        return type(self).__name__

    def applies(self, spec: RequestSpec) -> bool:
        """Whether this filter has any say about such a request."""
        return True

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """True for the rows that may take the server."""
        raise NotImplementedError

    def reason(self, table: HostTable, spec: RequestSpec, left: Mask) -> str:
        """Why the rows in ``left`` were removed, for the user; may be empty."""
        return ""


class LateFilter(Filter):
    """A filter whose look at a host is dear: the scheduler asks it about those it would choose only."""

    def possible(self, table: HostTable, spec: RequestSpec) -> Mask:
        """Rows that are not known to fail; cheap."""
        raise NotImplementedError

    def passes(self, table: HostTable, spec: RequestSpec, row: int) -> bool:
        """Whether a row passes; a row that does not is not ``possible`` any more."""
        raise NotImplementedError


class AllHostsFilter(Filter):
    """Every host passes."""

    fixed = True

    def applies(self, spec: RequestSpec) -> bool:
        """Never: there is nothing to look at."""
        return False

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """All rows."""
        return np.ones(len(table), dtype=bool)
