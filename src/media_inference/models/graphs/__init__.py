"""formulas and weights -> ONNX bytes (loads `onnx`: import late)"""
