"""Kernels: Numba functions whose inner loops are vector code written for the instruction set of this machine."""
