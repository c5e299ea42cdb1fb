# SPDX-License-Identifier: Apache-2.0
"""[identity]: the built-in identity service."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "identity"


@dataclasses.dataclass(frozen=True)
class IdentitySection:
    """Options of the built-in identity service."""

    listen_port: int = option(5000, "Port of the identity API.", minimum=1, maximum=65535)
    token_expiration: int = option(
        3600 * 8, "How long a token is valid, in seconds.", minimum=60
    )
    bcrypt_rounds: int = option(
        10, "Cost of the bcrypt password hash: each step doubles the time of a login.",
        minimum=4, maximum=31,
    )
    default_domain_id: str = option("default", "Domain of requests that name none.")
    region: str = option("RegionOne", "Region of the endpoints made at first start.")
