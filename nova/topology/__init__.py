# SPDX-License-Identifier: Apache-2.0
"""NUMA, pinned CPUs, huge pages and PCI devices, as pure functions over values.

``requests`` reads what a flavor and an image ask for, ``guest_shape`` checks sockets, cores and threads,
``fitting`` finds a place on a host, ``usage`` and ``charges`` add up what guests hold, ``cpus`` and
``devices`` read what operators write about hosts.
"""
