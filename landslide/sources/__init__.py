"""Sources: who delivers the scenes and the layers of a case."""
