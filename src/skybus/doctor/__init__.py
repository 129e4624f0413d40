"""The doctor: it compares the database with itself and with what hosts last reported, and lists what disagrees.

It stands above the API packages and so reads their tables directly. It writes none: what it finds is mended by the
conductor (`skybus_conductor/repairs.py`), through the reconcilers and the packages' own functions.
"""
