"""weights -> warm session (the only home of ONNX Runtime)"""

import os

# Read when the engine is imported. Its official builds for Linux otherwise keep a database of what models they were
# given, and send it to their maker.
os.putenv("ORT_DISABLE_TELEMETRY", "1")
