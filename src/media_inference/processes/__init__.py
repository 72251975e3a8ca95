"""settings -> live objects, one file per process"""
