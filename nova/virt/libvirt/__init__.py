# SPDX-License-Identifier: Apache-2.0
"""Guests through libvirt: KVM, QEMU, LXC and Xen. README.md shows how the parts fit together."""
