# SPDX-License-Identifier: Apache-2.0
"""Every option, one module per group. Options are read once, into frozen sections.

``load()`` parses the command line and the files and returns a ``Config``; nothing reads oslo.config after
that.
"""

from nova.conf.load import Config, load

__all__ = ["Config", "load"]
