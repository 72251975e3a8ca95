"""embedding -> searchable point"""
