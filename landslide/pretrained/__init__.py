"""The models that the method's paper published (zenodo.org/records/13471162), as ensembles of ours.

`import_models` reads the four folders of models as they lie in the archive. The checkpoints are pickles from the
internet: `unpickle` reads them with a machine that calls nothing.
"""

from landslide.pretrained.importer import import_models

__all__ = ["import_models"]
