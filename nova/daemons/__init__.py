# SPDX-License-Identifier: Apache-2.0
"""What daemons are made of: units of work that a process of its own or the all-in-one cloud runs."""
