"""How fast a cloud is and how it bears it: `ops/bench` and `ops/soak` bring a simulated cloud up and run this on it."""
