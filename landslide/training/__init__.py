"""Training of one member: the trainer, the worker processes that run it, and trials before it (`tuning/`).

A worker is the process `python -m landslide.training.workers`; `workers.pool.WorkerPool` starts and monitors workers.
"""
