"""The types of every event, command, answer and report: one module per service, no SQL."""
