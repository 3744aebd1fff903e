"""The studies: published results rerun, and questions asked of other data; for each a YAML file and a module."""
