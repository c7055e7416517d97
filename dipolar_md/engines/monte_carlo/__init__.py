"""Monte Carlo as an engine: equilibrium of dipolar spheres, compiled by numba."""

from dipolar_md.engines.monte_carlo.engine import MonteCarloEngine, inspect, make

__all__ = ["MonteCarloEngine", "inspect", "make"]
