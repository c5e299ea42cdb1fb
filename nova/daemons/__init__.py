# SPDX-License-Identifier: Apache-2.0
"""What daemons are made of: units of work that a process of its own or the all-in-one cloud runs."""

from nova.lazy_import import import_later

# What dependencies import and a daemon has no use for as a rule, 6 MB in all: other sources of options than
# files, options that are URIs or addresses by type, a policy file, plug-ins of SQLAlchemy, errors as XML.
for _name in ("stevedore", "rfc3986", "yaml", "importlib.metadata", "xml.etree.ElementTree", "netaddr"):
    import_later(_name)
