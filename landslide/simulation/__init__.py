"""A synthetic world and a loopback Earth Engine that serves it: for the demo and the tests."""
