"""The image service: images v2 of the OpenStack API, over a store of files."""
