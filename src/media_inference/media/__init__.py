"""media id -> upright pixels"""
