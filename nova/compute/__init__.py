# SPDX-License-Identifier: Apache-2.0
"""Instances: what a user may ask (``operations``), the state table (``lifecycle``), the host's side
(``manager`` and ``flows``)."""
