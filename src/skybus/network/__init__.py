"""The network API: networks, subnets, ports, and what compute and the sagas need of them."""
