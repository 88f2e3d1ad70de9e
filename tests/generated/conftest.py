"""With `TEST_CLIENT_GENERATOR=…/bin/openapi-python-client`, which is not among our packages, these tests run, too."""

import os

collect_ignore_glob = [] if os.environ.get("TEST_CLIENT_GENERATOR") else ["test_*.py"]
