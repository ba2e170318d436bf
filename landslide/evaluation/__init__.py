"""How good an ensemble is: exact counts, scores over the ensemble's size, and pictures of them."""
