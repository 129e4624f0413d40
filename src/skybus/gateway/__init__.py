"""The front door: all APIs behind one port."""
