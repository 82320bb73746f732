"""`python -m banger`: the same as `banger`."""

import sys

from banger.cli.app.main import main

sys.exit(main())
