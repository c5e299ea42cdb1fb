# SPDX-License-Identifier: Apache-2.0
"""One module per aggregate. A store works inside its caller's transaction and returns frozen values."""
