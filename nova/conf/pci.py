# SPDX-License-Identifier: Apache-2.0
"""[pci]: which PCI devices guests may have, and under which names."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "pci"


@dataclasses.dataclass(frozen=True)
class PciSection:
    """Options of PCI passthrough. Values are JSON objects, or lists of them."""

    alias: tuple[str, ...] = option(
        (),
        "A name that flavors ask for devices by (pci_passthrough:alias), as JSON with name, vendor_id, "
        "product_id, and optionally device_type (type-PCI, type-PF, type-VF), numa_policy (legacy, "
        "required, preferred, socket) and live_migratable. May be given several times.",
        old=("DEFAULT.pci_alias",), multi=True,
    )
    device_spec: tuple[str, ...] = option(
        (),
        "Devices of the host that guests may have, as JSON with vendor_id, product_id, address (with * "
        "for what is left open, or regular expressions by part), managed and live_migratable. May be "
        "given several times.",
        old=("pci.passthrough_whitelist", "DEFAULT.pci_passthrough_whitelist"), multi=True,
    )
