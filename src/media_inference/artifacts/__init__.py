"""bytes a task made -> file"""
