# SPDX-License-Identifier: Apache-2.0
"""The typed values that cross the borders of rooms and processes. They hold facts, not behaviour."""
