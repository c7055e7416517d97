"""LAMMPS as an engine: rigid bodies with dipoles or charges, on the CPU."""

from dipolar_md.engines.lammps.engine import LammpsEngine, inspect, make

__all__ = ["LammpsEngine", "inspect", "make"]
