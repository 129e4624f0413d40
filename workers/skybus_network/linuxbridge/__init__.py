"""The data plane of a Linux host: bridges, taps, VXLAN, nft rules, dnsmasq and the metadata service."""
