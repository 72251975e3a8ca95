"""photos -> report"""
