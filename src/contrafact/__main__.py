"""``python -m contrafact``: the command line; ``torchrun -m contrafact`` starts it in several processes."""

import sys

from contrafact.cli import main

if __name__ == "__main__":
    sys.exit(main())
