"""what is kept -> what is wrong with it, and mended"""
