"""The page needs a browser: `TEST_CHROMIUM=/usr/bin/chromium make test` (and `playwright`) runs these tests, too."""

import os

collect_ignore_glob = [] if os.environ.get("TEST_CHROMIUM") else ["test_*.py"]
