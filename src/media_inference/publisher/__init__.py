"""settled outcome -> the outside"""
