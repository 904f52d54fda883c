"""`python -m attnjax.cli …` is `attnjax …`."""

import sys

from attnjax.cli import main

sys.exit(main())
