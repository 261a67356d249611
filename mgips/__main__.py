"""`python -m mgips`."""

import sys

from mgips.cli import main

sys.exit(main())
