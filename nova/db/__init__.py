# SPDX-License-Identifier: Apache-2.0
"""The only room with SQL: engine, schema, migrations and stores."""
