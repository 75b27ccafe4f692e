"""Backbones, the parts that all models share, and the baseline: film in, months out.

Only built-in Keras layers are used, and all preprocessing sits inside the model, so that a saved
`.keras` file loads in a process that imports nothing but Keras and predicts the same months.
"""

import math
import warnings
from functools import partial

import util  # noqa: F401 - sets TensorFlow's environment, before keras imports it

# isort: split

import keras
import numpy as np
from keras import layers, ops

from util.backbones import BACKBONES, check_backbone
from util.batchnorm import use_statistics
from util.errors import UserError, first_line
from util.weights import check_weights

# ImageNet statistics as in keras.applications.imagenet_utils; caffe order is B, G, R.
CAFFE_MEANS = [103.939, 116.779, 123.68]
TORCH_MEANS = np.array([0.485, 0.456, 0.406])
TORCH_SDS = np.array([0.229, 0.224, 0.225])


def baseline_model(image, feature_map, head, *_):
    """Bone age from the film alone: mean over positions, dense head.

    `image` and `feature_map` are those of `image_features`, `head` is a `months_head`.
    """
    pooled = layers.GlobalAveragePooling2D(name="pooled")(feature_map)
    return keras.Model(image, head(pooled), name="baseline")


def months_head(label_mean, label_sd, activation, dropout_rate, dense_units, seed):
    """Return the last layers as a function of features `(N, C)`: dense, dropout, months.

    The network predicts a z-score; the last layer turns it into months by the mean and SD of the
    labels. Both come from the training split alone.
    """
    check_activation(activation)

    def head(features):
        x = layers.Dense(dense_units, activation, name="dense")(features)
        x = layers.Dropout(dropout_rate, seed=seed, name="dropout")(x)
        # small weights: the first prediction is near the mean age of the training films
        start = keras.initializers.RandomNormal(stddev=0.01, seed=seed)
        z = layers.Dense(1, kernel_initializer=start, dtype="float32", name="z")(x)
        return layers.Rescaling(label_sd, label_mean, dtype="float32", name="months")(z)

    return head


def check_activation(name):
    """UserError unless `name` is an activation of Keras that keeps the shape of features
    `(N, C)`."""
    features = ops.ones((1, 4))
    try:
        fits = keras.activations.get(name)(features).shape == features.shape
    except Exception:  # for example, it needs more arguments
        fits = False
    if not fits:
        raise UserError(
            f"not an activation for dense layers (--activation {name}). "
            "Use a Keras name, such as relu or tanh."
        )


def image_features(backbone, img_size, weights):
    """Return (image input `(N, S, S, 1)` of 0-255, feature map `(N, h, w, C)` of the backbone)."""
    image = keras.Input((img_size, img_size, 1), name="image")
    network = build_backbone(backbone, img_size, weights)
    scaled = scale_input(image, input_scaling(backbone, weights))
    return image, network(scaled)


def input_scaling(backbone, weights):
    """Return the input scaling of a backbone; EfficientNet needs one of its own unless its weights
    are downloaded.

    Only for weights="imagenet", Keras puts a division of the input by the square root of ImageNet's
    SDs into the network (see keras.applications.efficientnet, and tensorflow#49930).
    """
    scaling = BACKBONES[backbone].scaling
    return "none" if scaling == "efficientnet" and weights == "imagenet" else scaling


def scale_input(image, scaling):
    """Copy a grey image of 0-255 to three channels, scaled as the backbone's family wants it."""
    colours = layers.Concatenate(name="three_channels")([image] * 3)
    if scaling == "tf":
        return layers.Rescaling(1 / 127.5, -1.0, name="scale")(colours)
    if scaling == "caffe":
        return layers.Rescaling(1.0, [-mean for mean in CAFFE_MEANS], name="scale")(colours)
    if scaling == "torch":
        scale, offset = 1 / (255 * TORCH_SDS), -TORCH_MEANS / TORCH_SDS
        return layers.Rescaling(scale.tolist(), offset.tolist(), name="scale")(colours)
    if scaling == "efficientnet":  # multiplies its own (x / 255 - mean) / SD by `scale`
        scale = 1 / np.sqrt(TORCH_SDS)
        offset = 255 * TORCH_MEANS * (1 - scale)
        return layers.Rescaling(scale.tolist(), offset.tolist(), name="scale")(colours)
    return colours


def build_backbone(name, img_size, weights):
    """Build a network of keras.applications without its top, for `(S, S, 3)`, named `name`.

    `weights`: "imagenet", "none" or None, or a file with include_top=False weights of this
    network. Raises UserError for an unknown name, a size too small, or weights that can't be had.
    """
    check_backbone(name, img_size)
    builder = getattr(keras.applications, BACKBONES[name].builder)
    options = {"include_top": False, "input_shape": (img_size, img_size, 3)}
    if weights == "imagenet":
        network = download_imagenet(builder, name, options)
    else:
        network = builder(weights=None, **options)
        if weights not in ("none", None):
            load_backbone_weights(network, weights, name)
    # named only now: EfficientNetV2 looks up its blocks by the name that the builder gets
    return keras.Model(network.input, network.output, name=name)


def download_imagenet(builder, name, options):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MobileNet's, on image sizes, doesn't matter
            return builder(weights="imagenet", **options)
    except Exception as error:  # whatever the network, a proxy or the server raises
        raise UserError(
            f"can't download the ImageNet weights of {name} ({first_line(error)}). "
            "Offline: --weights FILE with its include_top=False weights, or --weights none."
        ) from None


def load_backbone_weights(network, path, name):
    """Load a weights file into a backbone; UserError when it is missing or of another network."""
    check_weights(path)
    kernels = [weight for weight in network.weights if len(weight.shape) > 1]
    before = [kernel.numpy() for kernel in kernels]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of containers without weights
            network.load_weights(path)
    except Exception as error:  # h5py, zipfile and Keras each raise their own kinds
        raise UserError(
            f"these are not the include_top=False weights of {name} "
            f"(--weights {path}: {first_line(error)}). Choose the matching file."
        ) from None
    same = sum(np.array_equal(a, b.numpy()) for a, b in zip(before, kernels, strict=True))
    if same:
        raise UserError(
            f"{same} of {len(kernels)} kernels of {name} are not in the file "
            f"(--weights {path}). Choose the matching file."
        )


def backbone_of(model):
    """The nested backbone of a model, found by its name. UserError when there is none."""
    for layer in model.layers:
        if layer.name in BACKBONES:
            return layer
    raise UserError(
        f"this model has no backbone of BoneAge ({model.name}). Build its film features by "
        "modeling.image_features."
    )


def put_weights(model, weights):
    """Give a model the weights, from `get_weights()`, of another model of its kind. UserError when
    an earlier version built that one with other layers."""
    if [weight.shape for weight in weights] != [weight.shape for weight in model.weights]:
        raise UserError(
            "the run to start from has a model of an earlier version of BoneAge (--weights). Train "
            "that run again, or start from another."
        )
    model.set_weights(weights)
    for layer in backbone_of(model).layers:
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()  # makes the copies of its weights that it computes with


def freeze_backbone(model):
    """Train the head alone: no weight of the backbone changes, BatchNorm statistics included. No
    block is dropped at random, as this would change the features of a film. A copy of the model, or
    one that is loaded, must be frozen again."""
    backbone_of(model).trainable = False
    drop_blocks(model, False)


def unfreeze_backbone(model, bn):
    """Train everything; BatchNorm normalises by the moving statistics it has (`bn="frozen"`) or
    by those of the batches ("train"). Its scale and offset train in both cases: they are the only
    offsets that most backbones have.
    """
    backbone_of(model).trainable = True
    drop_blocks(model, True)
    use_statistics(batchnorm_layers(model), bn)


def drop_blocks(model, drop):
    """Turn the random dropping of backbone blocks in training on or off.

    EfficientNet has it (stochastic depth, Huang et al. 2016), at the rates of its Dropout layers.
    Only the `call` of these objects is replaced, so a model is saved with its rates.
    """
    for layer in backbone_of(model).layers:
        if isinstance(layer, layers.Dropout):
            layer.call = partial(type(layer).call, layer) if drop else keep_all


def keep_all(inputs, training=None):
    return inputs


def batchnorm_layers(model):
    """The BatchNorm layers of the backbone."""
    kind = layers.BatchNormalization
    return [layer for layer in backbone_of(model).layers if isinstance(layer, kind)]


def count_parameters(model):
    """Return (trainable, total) numbers of parameters."""
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return trainable, model.count_params()
