# SPDX-License-Identifier: Apache-2.0
"""The built-in image service: records in the database, data as files, an Image API v2 face."""
