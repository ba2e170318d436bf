"""The functions of expressions, one module a theme; `registered` brings them all."""
