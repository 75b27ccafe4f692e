"""Keras models as files for the runtimes of `util.predicting.runtimes`. They take inputs `image`
and `sex` by name, float32, for any number of films at once, and return months."""

import logging
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from util.errors import UserError, first_line
from util.predicting.runtimes import (
    COMPUTED_IN,
    RUNTIMES,
    has_bf16,
    import_openvino,
    inputs_by_name,
    require_package,
    require_runtime,
)
from util.quiet import quiet_stderr

# packages that a conversion needs beside the runtime itself
NEEDED = {
    ("openvino", "int8"): ["nncf"],
    ("onnx", "f32"): ["tf2onnx", "onnx"],
    ("onnx", "int8"): ["tf2onnx", "onnx"],
}


def require_converter(runtime, precision):
    """UserError when the runtime or its converter is not installed, or when the processor can't
    compute in this precision: the export could not be checked then."""
    require_runtime(runtime, precision)
    for package in NEEDED.get((runtime, precision), []):
        require_package(package)
    if precision == "bf16" and not has_bf16():
        raise UserError(
            "this processor does not compute in bf16 (--precision bf16). Export where the model will "
            "be used, or choose another precision."
        )


def has_converter(runtime):
    """Whether the runtime and its converter are installed."""
    try:
        require_converter(runtime, "f32")
    except UserError:
        return False
    return True


def is_calibrated(runtime, precision):
    """Whether the 8-bit ranges of activations are chosen on films. LiteRT stores weights in 8 bits,
    and chooses the ranges of activations for each film as it predicts."""
    return precision == "int8" and runtime != "litert"


def convert(model, runtime, precision, path, sample=None):
    """Write a Keras model as a file of the runtime, calibrated on the films of `sample` (pixels
    `(n, S, S)`, sex `(n,)`) if it `is_calibrated`. UserError when the converter fails."""
    require_converter(runtime, precision)
    write = CONVERTERS[runtime]
    with quiet_stderr(), redirect_stdout(StringIO()):  # converters are talkative
        try:
            write(model, precision, path, sample)
            return
        except Exception as error:  # each converter raises its own kinds
            reason = first_line(error)
    raise UserError(
        f"the model can't be converted to {runtime}, {precision}: {reason}. "
        "Choose another runtime, or compare the packages installed with requirements-optional.txt, "
        "and look for free space."
    )


def to_openvino(model, precision, path, sample):
    openvino = import_openvino()
    # not by format="openvino": it hands the model over in memory, and on Python 3.13 OpenVINO
    # 2026.4 then fails at its own `exec("del tensorflow")`
    with saved_model(model) as folder:
        graph = openvino.convert_model(folder)
        if precision == "int8":
            graph = quantize_openvino(graph, backbone_name(model), sample)
        if precision == "bf16":
            graph.set_rt_info("bf16", COMPUTED_IN)
        openvino.save_model(graph, path, compress_to_fp16=precision in ("f16", "bf16"))


@contextmanager
def saved_model(model):
    """Within the block, the folder of a model in the format of TensorFlow."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as work:  # OpenVINO keeps a file of it open
        model.export(work, format="tf_saved_model", verbose=False)
        yield work


def quantize_openvino(graph, backbone, sample):
    """Quantize the backbone of a graph to 8 bits. Depthwise convolutions, which would lose too much
    accuracy, and the head, a few products that tell months apart, stay in f32."""
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    logging.getLogger("nncf").setLevel(logging.ERROR)
    names = [tensor.any_name for tensor in graph.inputs]
    head = [
        node.get_friendly_name()
        for node in graph.get_ordered_ops()
        if node.get_type_name() == "MatMul" and f"/{backbone}" not in node.get_friendly_name()
    ]
    return nncf.quantize(
        graph,
        nncf.Dataset(list(single_films(names, sample))),
        subset_size=len(sample.sex),
        preset=nncf.QuantizationPreset.MIXED,
        # not every network has such layers: no error when there is none to ignore
        ignored_scope=nncf.IgnoredScope(names=head, types=["GroupConvolution"], validate=False),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            # sums of 8 bits overflow on processors without VNNI
            overflow_fix=nncf.OverflowFix.ENABLE,
            # the default, a mean of largest values, cuts off values of few films
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
        ),
    )


def to_onnx(model, precision, path, sample):
    if precision == "f32":
        write_onnx(model, path)
        return
    with TemporaryDirectory() as work:
        plain = str(Path(work) / "plain.onnx")
        write_onnx(model, plain)
        quantize_onnx(plain, path, backbone_name(model), sample)


def write_onnx(model, path):
    """Write a model as ONNX. Keras's own export of EfficientNet would also take the mean and the
    variance of its Normalization layer as inputs. Raises what onnxruntime does where the file holds
    layers that it doesn't know, as of ConvNeXt."""
    import tensorflow as tf
    import tf2onnx
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    @tf.function(autograph=False)
    def call(**inputs):
        given = [inputs[tensor.name] for tensor in model.inputs]
        return model(given if given[1:] else given[0], training=False)

    taken = {t.name: tf.TensorSpec((None, *t.shape[1:]), name=t.name) for t in model.inputs}
    frozen = convert_variables_to_constants_v2(call.get_concrete_function(**taken))
    names = [tensor.name for tensor in frozen.inputs]
    tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        input_names=names,
        output_names=[tensor.name for tensor in frozen.outputs],
        tensors_to_rename={name: name.removesuffix(":0") for name in names},
        output_path=str(path),
    )
    RUNTIMES["onnx"].load(path)


def quantize_onnx(plain, path, backbone, sample):
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # symbolic shapes are for transformers, and would need sympy
    quant_pre_process(plain, plain, skip_symbolic_shape=True)
    graph = onnx.load(plain).graph
    films = single_films([tensor.name for tensor in graph.input], sample)

    class Films(CalibrationDataReader):
        def get_next(self):
            return next(films, None)

    quantize_static(
        plain,
        path,
        Films(),
        per_channel=True,
        reduce_range=True,  # 7 bits: sums of 8 overflow on processors without VNNI
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=[node.name for node in graph.node if not belongs_to(node, backbone)],
    )


def belongs_to(node, backbone):
    """Whether a node of an ONNX graph is part of the backbone. The converter gives convolutions new
    names (Conv__18), but not their weights."""
    return any(f"/{backbone}" in name for name in [node.name, *node.input[1:]])


def to_litert(model, precision, path, sample):
    import tensorflow as tf

    # not by format="litert", which Keras 3.12, the last for Python 3.10, does not have
    with saved_model(model) as folder:
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if precision == "f16":
            converter.target_spec.supported_types = [tf.float16]
        if precision != "f32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        Path(path).write_bytes(converter.convert())


CONVERTERS = {"openvino": to_openvino, "onnx": to_onnx, "litert": to_litert}


def backbone_name(model):
    from modeling import backbone_of

    return backbone_of(model).name


def single_films(names, sample):
    """Yield the films of a sample one by one, as inputs by name."""
    for pixels, sex in zip(sample.pixels, sample.sex, strict=True):
        image, told = pixels[None, ..., None], np.array([[sex]])
        yield inputs_by_name(names, image, told)
