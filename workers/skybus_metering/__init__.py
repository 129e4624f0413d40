"""The metering worker: it turns the event stream into existence."""
