"""ONNX Runtime by itself on tensors that are ready: the most that a machine can do with a graph."""

import argparse
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.child import answer_questions


def main() -> None:
    """Answers ``batch`` and ``seconds`` with pictures per second and the CPU time of each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("graph")
    parser.add_argument("threads", type=int)
    asked = parser.parse_args()
    sessions = {spin: _session(asked.graph, asked.threads, spin=spin) for spin in (True, False)}
    (node,) = sessions[True].get_inputs()
    ready = np.random.default_rng(0).standard_normal((16, 3, 224, 224), np.float32)

    def loop(batch: int, seconds: float, spin: bool = True) -> Mapping[str, Any]:
        """``spin``: threads that wait for each other burn their core: quicker, but it hides what the work takes."""
        session, feed = sessions[spin], {node.name: ready[:batch]}
        session.run(None, feed)
        runs, begun, busy = 0, time.perf_counter(), time.process_time()
        while runs == 0 or time.perf_counter() - begun < seconds:
            session.run(None, feed)
            runs += 1
        wall, busy = time.perf_counter() - begun, time.process_time() - busy
        return {"per_second": runs * batch / wall, "cpu_seconds": busy / (runs * batch)}

    answer_questions(loop)


def _session(graph: str, threads: int, *, spin: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    main()
