# SPDX-License-Identifier: Apache-2.0
"""Console proxies: from a browser's WebSocket to a guest's VNC, SPICE or serial console.

    browser --page--> proxy (static files)
    browser --WebSocket + token--> proxy: origin -> token (asked of the control side, once) -> guest's port
                                   VNC: security negotiated with either side -> bytes both ways

A proxy runs where browsers reach it and hosts are reached from; it holds no database.
"""
