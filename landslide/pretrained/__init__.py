"""Import of the models published with the method's paper (zenodo.org/records/13471162).

The checkpoints are pickles from the internet: `unpickle` interprets them without calling any function.
"""

from landslide.pretrained.importer import import_models

__all__ = ["import_models"]
