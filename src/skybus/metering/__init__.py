"""Metering: what existed when, fed from the events, and what that amounts to."""
