"""Metadata definitions: what the properties of images, flavors, volumes and so on may be called, and what they mean."""
