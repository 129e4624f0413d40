"""The volume service: block storage v3 of the OpenStack API."""
