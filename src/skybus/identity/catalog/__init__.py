"""Regions, services, endpoints, and what a project is shown of them."""
