"""Models that get the sex as well, two of them with attention; `build_model` builds any type.

Shapes, drawings and papers: ADVANCED_ATTENTION_README.md.
"""

import util  # noqa: F401 - sets TensorFlow's environment, before keras imports it

# isort: split

import keras
from keras import layers

from modeling import backbone_of, baseline_model, image_features, months_head
from util.backbones import MODEL_TYPES, POOLED
from util.errors import UserError

TOKEN_UNITS = 128  # width of image tokens in the cross-attention
HEADS = 4


def build_model(
    model_type,
    backbone,
    img_size,
    *,
    weights,
    label_mean,
    label_sd,
    activation="relu",
    dropout_rate=0.3,
    dense_units=500,
    gender_units=32,
    seed=42,
):
    """Build a model of one of the types: image 0-255 (and sex, 1 = male) to months.

    `label_mean` and `label_sd` are those of the training labels, in months. `weights` are those of
    the backbone, see `build_backbone`. `seed` is that of dropout and of the last layer; call
    `keras.utils.set_random_seed` first to have the same model again.
    """
    if model_type not in BUILDERS:
        raise UserError(
            f"unknown model type (--model_type {model_type}). Known: {', '.join(MODEL_TYPES)}."
        )
    image, feature_map = image_features(backbone, img_size, weights)
    head = months_head(label_mean, label_sd, activation, dropout_rate, dense_units, seed)
    return BUILDERS[model_type](image, feature_map, head, activation, gender_units)


def sex_model(image, feature_map, head, activation, gender_units):
    """Build a model that puts pooled features of the film beside a dense layer of the sex, as the
    winner of the RSNA challenge 2017 did (Halabi et al. 2019)."""
    pooled = layers.GlobalAveragePooling2D(name="pooled")(feature_map)
    sex, sex_units = sex_features(gender_units, activation)
    features = layers.Concatenate(name="fused")([pooled, sex_units])
    return keras.Model([image, sex], head(features), name="sex_model")


def pooled_head(model):
    """Return the part of a model behind its pooled features: features `(N, C)` (and sex) to months.
    It shares its layers with the model, so training one trains the other. UserError when other
    features of the film come in behind the pooled ones."""
    # layers are called again: after cutting a model out of the graph, the whole one has no config
    # (Keras 3.15)
    last = model.get_layer("pooled")  # before the head, whose layers follow one another
    features = keras.Input(last.output.shape[1:], name="features")
    inputs, x = features, features
    if len(model.inputs) == 2:
        fused, sex = model.get_layer("fused"), keras.Input((1,), name="sex")
        if fused.input[0] is not last.output:
            raise UserError(
                f"the head of this model sees more than pooled features ({model.name}). "
                f"Use --model_type {' or '.join(POOLED)}."
            )
        inputs = [features, sex]
        x = fused([features, model.get_layer("sex_dense")(sex)])
        last = fused
    for layer in model.layers[model.layers.index(last) + 1 :]:
        x = layer(x)
    head = keras.Model(inputs, x, name="head")
    head.dtype_policy = model.dtype_policy  # decides if the loss is scaled
    return head


def attn_sex_model(image, feature_map, head, activation, gender_units):
    """The project's first attention: a mask over positions weighs the features before pooling.

    Three 1 x 1 convolutions give a score for each position; its softmax over all positions is
    the mask, so that the pooled vector is a weighted mean. (Earlier versions divided by the sum of
    a tanh mask, which can be nearly zero.)
    """
    tokens = flatten_positions(feature_map)
    scores = layers.Dense(64, activation, name="mask_64")(tokens)  # a 1 x 1 convolution
    scores = layers.Dense(16, activation, name="mask_16")(scores)
    scores = layers.Dense(1, name="mask_score")(scores)
    mask = layers.Softmax(axis=1, dtype="float32", name="attention")(scores)
    pooled = layers.Dot(axes=1, name="masked_sum")([mask, tokens])
    pooled = layers.Flatten(name="pooled")(pooled)
    sex, sex_units = sex_features(gender_units, activation)
    features = layers.Concatenate(name="fused")([pooled, sex_units])
    return keras.Model([image, sex], head(features), name="attn_sex_model")


def attn_sex_model_improved(image, feature_map, head, activation, gender_units):
    """`sex_model` with cross-attention to the positions of the film.

    The query is made of the sex and the pooled film. Keys and values are the h x w image tokens
    (Vaswani et al. 2017), which get their positions from a depthwise convolution (Chu et al. 2021).
    A gate sets, for each unit, how much of the attended values counts (Arevalo et al. 2017). A
    layer that starts at zero (as in Goyal et al. 2017) adds the result to the pooled features. So
    training starts from `sex_model`, and leaves it only for what makes the error smaller.
    """
    sex, sex_units = sex_features(gender_units, activation)
    tokens = layers.Conv2D(TOKEN_UNITS, 1, name="tokens")(feature_map)
    # without bias: `tokens` has one, and TensorFlow prints errors where it fuses bias and addition
    where = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="where")
    positions = where(tokens)
    tokens = flatten_positions(layers.Add(name="placed_tokens")([tokens, positions]))
    tokens = layers.LayerNormalization(name="tokens_norm")(tokens)
    pooled = layers.GlobalAveragePooling2D(name="pooled")(feature_map)
    query_input = layers.Concatenate(name="query_input")([pooled, sex_units])
    query = layers.Dense(TOKEN_UNITS, name="query")(query_input)
    query = layers.Reshape((1, TOKEN_UNITS), name="query_token")(query)
    attended, _ = layers.MultiHeadAttention(HEADS, TOKEN_UNITS // HEADS, name="attention")(
        query, tokens, return_attention_scores=True
    )
    attended = layers.Flatten(name="attended")(attended)
    gate = layers.Concatenate(name="gate_input")([attended, query_input])
    gate = layers.Dense(TOKEN_UNITS, "sigmoid", name="gate")(gate)
    gated = layers.Multiply(name="gated")([gate, attended])
    channels = pooled.shape[-1]
    added = layers.Dense(channels, kernel_initializer="zeros", name="added")(gated)
    features = layers.Add(name="features")([pooled, added])
    features = layers.Concatenate(name="fused")([features, sex_units])
    return keras.Model([image, sex], head(features), name="attn_sex_model_improved")


BUILDERS = {
    "baseline": baseline_model,
    "sex": sex_model,
    "attn_sex": attn_sex_model,
    "attn_sex_improved": attn_sex_model_improved,
}


def sex_features(units, activation):
    """Return (sex input `(N, 1)`, 1 = male; dense features of it `(N, units)`)."""
    sex = keras.Input((1,), name="sex")
    return sex, layers.Dense(units, activation, name="sex_dense")(sex)


def flatten_positions(feature_map):
    """Feature map `(N, h, w, C)` as tokens `(N, h * w, C)`."""
    _, height, width, channels = feature_map.shape
    return layers.Reshape((height * width, channels), name="positions")(feature_map)


# -------------------------------------------------------------------------------- reading it out


def attention_map(model, images, sex):
    """Where an attention model looks: weights `(N, h, w)` that sum to 1 over each film.

    images `(N, S, S, 1)` 0-255, sex `(N, 1)`. For cross-attention the mean over its heads.
    Raises UserError for a model without attention.
    """
    output = layer_of(model, "attention").output
    weights = output[1] if isinstance(output, (list, tuple)) else output
    _, height, width, _ = backbone_of(model).output.shape
    reader = keras.Model(model.inputs, weights)
    values = keras.ops.convert_to_numpy(reader([images, sex], training=False))
    if values.ndim == 4:  # (N, heads, 1, positions)
        values = values.mean(axis=1)
    return values.reshape(len(values), height, width)


def fusion_gate(model, images, sex):
    """The gate of `attn_sex_model_improved`: `(N, units)` in 0-1, the share of the attended values
    that counts.

    Raises UserError for other models.
    """
    reader = keras.Model(model.inputs, layer_of(model, "gate").output)
    return keras.ops.convert_to_numpy(reader([images, sex], training=False))


def layer_of(model, name):
    try:
        return model.get_layer(name)
    except ValueError:
        raise UserError(
            f"this model has no {name} ({model.name}). Train with --model_type attn_sex_improved."
        ) from None
