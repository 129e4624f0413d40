"""The doctor: it compares the database with itself and with what hosts last reported, and lists what disagrees.

An operator's tool that stands above the API packages and so reads their tables directly. It changes nothing.
"""
