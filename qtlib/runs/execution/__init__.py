"""Notebooks run: through papermill, in kernels and processes of their own, watched, ended in order, begun again."""
