"""what a job is: plain data, no I/O"""
