"""Compute: flavors, keypairs, servers and the hosts they run on; Nova's API."""
