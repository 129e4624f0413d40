"""Placement: what every host has, and who claims how much of it."""
