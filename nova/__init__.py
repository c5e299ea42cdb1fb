# SPDX-License-Identifier: Apache-2.0
"""Nova, a cloud computing fabric controller."""

__version__ = "0.1.0"
