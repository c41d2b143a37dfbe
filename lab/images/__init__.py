"""Images: ELF files, the toolchain that makes them, and the corpus of workloads."""
