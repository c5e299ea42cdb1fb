# SPDX-License-Identifier: Apache-2.0
"""A cluster of separate daemons, and its faults."""
