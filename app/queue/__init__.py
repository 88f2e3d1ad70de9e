"""The hand-over of a job to the job engine, and back. The only importer of DBOS."""
