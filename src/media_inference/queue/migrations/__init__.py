"""database of an older release -> today's tables"""
