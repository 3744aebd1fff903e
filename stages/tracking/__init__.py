"""All that knows MLflow. A stage sees `track_stage` and its `StageRun`; `make resync` and `make register` the rest.

A call's way: StageRun (run.py) sends a function of entries.py through background.py to the process that logs, where
logger.py keeps it until delivery.py has carried it out on the run in the store (store.py, model.py, links.py).
"""

from stages.tracking.links import file_md5, folder_md5
from stages.tracking.run import StageRun, track_stage

__all__ = ["StageRun", "file_md5", "folder_md5", "track_stage"]
