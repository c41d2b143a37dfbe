"""Cycles by llvm-mca's models of AArch64 cores: a model's opinion, and labelled so."""
