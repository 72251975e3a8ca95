"""live service -> folder that brings it back"""
