"""Python runs this at the start of every process that a storm starts: faults and broken builds are put in here.

The product knows nothing of it; only a storm puts this folder on a process's PYTHONPATH.
"""

import os

if os.environ.get("STORM_FAULTS"):
    from tests.storms.faults import arm_this_process

    arm_this_process(os.environ["STORM_FAULTS"])

if os.environ.get("STORM_BROKEN"):
    from tests.storms.broken import break_this_process

    break_this_process(os.environ["STORM_BROKEN"])
