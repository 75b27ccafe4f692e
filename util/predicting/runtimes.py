"""Runtimes that predict without TensorFlow, from files that `inference_speed.export_model` made.

RUNTIMES lists them for the export, predict.py, evaluate.py and the benchmark. How their files are
written, and by which packages, is in CONVERTERS and NEEDED of inference_speed/convert.py; parity.py
there sets how far off they may be. This module never imports TensorFlow, and imports a runtime only
when it is used.
"""

import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from util.errors import UserError, first_line
from util.parallel import cores
from util.quiet import quiet_stderr


class Runtime(NamedTuple):
    """A runtime: pip installs its `package`, and Python imports it under the same name, with "_" in
    place of "-".

    An export has one file for each of the `endings`. `load` takes the path of the first file and
    returns `predict(image, sex) -> months (N,)`, with image `(N, S, S, 1)` 0-255 and sex `(N, 1)`,
    1 = male.
    """

    package: str
    endings: tuple
    precisions: tuple
    load: Callable


COMPUTED_IN = ["computed_in"]  # where an OpenVINO file has its precision, unless f32

# --------------------------------------------------------------------------------------- loading


def load_openvino(path):
    openvino = import_openvino()
    core = openvino.Core()
    model = core.read_model(path)
    shapes = {tensor.any_name: tensor.partial_shape for tensor in model.inputs}
    settings = openvino_settings(model)

    @cache
    def compiled(batch_size):  # a fixed shape is quicker than a dynamic one
        model.reshape({name: [batch_size, *list(shape)[1:]] for name, shape in shapes.items()})
        return core.compile_model(model, "CPU", settings)

    def predict(image, sex):
        return compiled(len(image))(inputs_by_name(shapes, image, sex))[0][:, 0]

    return predict


def openvino_settings(model):
    """Return the settings to compile a model with. Without them OpenVINO would compute in bf16 or
    f16 on processors that can."""
    precision = model.get_rt_info(COMPUTED_IN).value if model.has_rt_info(COMPUTED_IN) else "f32"
    return {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}


def has_bf16():
    """Whether OpenVINO computes in bf16 on this processor; where it can't, it silently takes
    f32."""
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def import_openvino():
    """Import OpenVINO without its telemetry, which would report each conversion to its makers."""
    sys.modules.setdefault("openvino_telemetry", None)
    import openvino

    return openvino


def load_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in session.get_inputs()]

    def predict(image, sex):
        return session.run(None, inputs_by_name(names, image, sex))[0][:, 0]

    return predict


def load_litert(path):
    from ai_edge_litert.interpreter import Interpreter

    # as bytes: it can't open every path on Windows
    interpreter = Interpreter(model_content=Path(path).read_bytes(), num_threads=cores())
    interpreter.allocate_tensors()  # now, while its note on a delegate is held back
    runner = interpreter.get_signature_runner()
    names = list(runner.get_input_details())

    def predict(image, sex):
        (months,) = runner(**inputs_by_name(names, image, sex)).values()
        return months[:, 0]

    return predict


def inputs_by_name(names, image, sex):
    """Return the inputs that a model takes, by name, as float32: image and sex, or the image
    alone."""
    given = {"image": image, "sex": sex}
    return {name: np.asarray(given[name], np.float32) for name in names}


RUNTIMES = {
    "openvino": Runtime(
        "openvino", (".xml", ".bin"), ("f32", "f16", "bf16", "int8"), load_openvino
    ),
    "onnx": Runtime("onnxruntime", (".onnx",), ("f32", "int8"), load_onnx),
    "litert": Runtime("ai-edge-litert", (".tflite",), ("f32", "f16", "int8"), load_litert),
}
PRECISIONS = tuple(dict.fromkeys(p for runtime in RUNTIMES.values() for p in runtime.precisions))


def require_runtime(name, precision):
    """UserError when a runtime is not installed, or doesn't have this precision."""
    runtime = RUNTIMES[name]
    if precision not in runtime.precisions:
        raise UserError(
            f"no {precision} for {name} (--precision). Use {' or '.join(runtime.precisions)}."
        )
    require_package(runtime.package)


def is_installed(package):
    return find_spec(package.replace("-", "_")) is not None


def require_package(package):
    if not is_installed(package):
        raise UserError(f"the package {package} is not installed. Do: pip install {package}")


def load_runtime(name, path):
    """Load an exported file into its runtime: `predict(image, sex) -> months (N,)`."""
    runtime = RUNTIMES[name]
    with quiet_stderr():
        try:
            return runtime.load(path)
        except Exception as error:  # each runtime raises its own kinds
            reason = first_line(error)
    raise UserError(f"{runtime.package} can't load the model: {reason} ({path}). Export it again.")
