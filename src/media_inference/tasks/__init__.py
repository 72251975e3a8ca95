"""image -> findings"""
