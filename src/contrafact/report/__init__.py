"""Pictures, tables and the report page of a finished run."""
