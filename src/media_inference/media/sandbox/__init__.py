"""untrusted bytes -> upright RGB, in a process that can do little else"""
