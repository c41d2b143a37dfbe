"""A small Linux, confined: real static programs start as the kernel starts them and find the system calls they need.

Nothing of the host is reachable.  Files are a snapshot of one folder, kept in memory and written only there; the clock,
random numbers and identities are fixed; there is one process with one thread.  What is not here answers ENOSYS, and the
trace says so.
"""
