# SPDX-License-Identifier: Apache-2.0
"""Block storage: volumes, their snapshots, and what they are attached to."""
