# SPDX-License-Identifier: Apache-2.0
"""What a user may ask of instances. Every face (compute, EC2) changes instances through this alone.

Each function checks the lock and the state table, writes the operation and the new state in one
transaction, and wakes whoever carries it out after the commit.
"""

from nova.compute.operations.facade import Operations

__all__ = ["Operations"]
