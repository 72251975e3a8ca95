"""pixels -> numbers"""
