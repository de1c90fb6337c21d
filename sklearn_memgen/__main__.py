"""The command line: ``python -m sklearn_memgen report data.csv --target y``."""

import sys

from sklearn_memgen._command_line import main

if __name__ == "__main__":
    sys.exit(main())
