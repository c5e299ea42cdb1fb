# SPDX-License-Identifier: Apache-2.0
"""NUMA, pinned CPUs, huge pages and PCI devices, as pure functions over values.

``requests`` reads what a flavor and an image ask for, ``fitting`` finds a place on a host, ``usage`` adds
up what guests hold, ``cpus`` and ``devices`` read what operators write about hosts.
"""
