"""Pure functions from scenes to the bands of a stack, and from an inventory to its label."""
