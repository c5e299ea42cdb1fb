# SPDX-License-Identifier: Apache-2.0
"""[image]: the built-in image service."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "image"


@dataclasses.dataclass(frozen=True)
class ImageSection:
    """Options of the built-in image service."""

    listen_port: int = option(9292, "Port of the image API.", minimum=1, maximum=65535)
    image_size_cap: int = option(
        1 << 40, "Largest image that may be uploaded, in bytes.", minimum=1
    )
    user_storage_quota: int = option(
        0, "Bytes that one project's images may hold in all; 0 is no limit.", minimum=0
    )
    image_property_quota: int = option(
        128, "Most properties of an image; negative is no limit."
    )
    image_tag_quota: int = option(128, "Most tags of an image; negative is no limit.")
    image_member_quota: int = option(
        128, "Most projects that an image is shared with; negative is no limit."
    )
    limit_param_default: int = option(
        25, "Images on a page of a list that names no limit.", minimum=1
    )
    api_limit_max: int = option(1000, "Most images on a page of a list.", minimum=1)
    host_url: str | None = option(
        None, "Address under which compute hosts reach this image API, such as http://controller:9292; "
        "http://$my_ip:$listen_port where not set.",
    )
