"""weights -> warm session (the only home of ONNX Runtime)"""
