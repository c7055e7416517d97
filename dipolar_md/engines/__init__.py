"""HOOMD-blue, LAMMPS and direct sums behind two verbs; the only modules that know them."""
