"""The graph that is recurrent in space and time. Imports torch and nothing else."""
