"""Training: one member from tiles to weights, and the process it runs in.

`python -m landslide.training` is a member's process; `process.run` starts and watches one.
"""
