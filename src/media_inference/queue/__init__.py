"""jobs in SQL"""
