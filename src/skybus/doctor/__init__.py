"""The doctor: it compares the database with itself and with what hosts last reported, and lists what disagrees.

An operator's tool that stands above the API packages and so reads their tables directly. It writes none: what it mends,
it mends through the conductor's reconcilers and the packages' own functions.
"""
