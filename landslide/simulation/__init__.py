"""A synthetic world and a loopback Earth Engine that serves it, for the demo, the studies and the tests."""
