# SPDX-License-Identifier: Apache-2.0
"""Messages between services: the table of remote calls, and the transports that carry them."""
