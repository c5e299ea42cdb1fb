# SPDX-License-Identifier: Apache-2.0
"""What every HTTP face shares: the server, the application base, request ids, error answers."""
