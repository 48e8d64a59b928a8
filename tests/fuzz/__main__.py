"""``python -m tests.fuzz --files 100000 --seed 0 --jobs 2``: how every reader takes hostile and damaged files."""

import os
import sys

if __name__ == "__main__":
    # Before numpy and torch are there: workers are forked, and threads do not survive that.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    from tests.fuzz.command import main

    sys.exit(main())
