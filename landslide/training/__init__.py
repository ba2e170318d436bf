"""Training: one member from tiles to weights, and the process it runs in.

`python -m landslide.training` is a process that trains members; `process.Trainers` starts and watches them.
"""
