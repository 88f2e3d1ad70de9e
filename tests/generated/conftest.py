"""Programs of others that read the OpenAPI document; they are not among our packages, and their tests run where they are named.

`TEST_CLIENT_GENERATOR=…/bin/openapi-python-client` (in a venv of its own), `TEST_REDOCLY=…/.bin/redocly` (of npm): see `.ci/run`.
"""

import os

NEEDS = {"test_generated_client.py": "TEST_CLIENT_GENERATOR", "test_redocly.py": "TEST_REDOCLY"}
collect_ignore_glob = [file for file, variable in NEEDS.items() if not os.environ.get(variable)]
