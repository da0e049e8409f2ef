"""What these tests need beside the usual. Owns: leaving out what an extra is missing for. Must not: skip."""

import importlib.util

# The cluster's test belongs to the extra `dask`, which the usual environment does without.
collect_ignore = [] if importlib.util.find_spec("distributed") else ["test_dask.py"]
