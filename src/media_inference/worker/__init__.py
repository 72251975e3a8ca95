"""claimed job -> settled outcome"""
