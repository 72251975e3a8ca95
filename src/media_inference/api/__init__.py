"""HTTP request -> queued job"""
