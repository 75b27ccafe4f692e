"""Backbones and model types: scaling, freezing, attention, saving, and errors that help."""

import importlib
import inspect

import cv2
import keras
import numpy as np
import pytest
from commands import run_python

import modeling
import train_advanced
from modeling import (
    backbone_of,
    batchnorm_layers,
    build_backbone,
    count_parameters,
    freeze_backbone,
    image_features,
    input_scaling,
    months_head,
    put_weights,
    scale_input,
    unfreeze_backbone,
)
from modeling_advanced import (
    BUILDERS,
    attention_map,
    attn_sex_model,
    attn_sex_model_improved,
    build_model,
    fusion_gate,
    pooled_head,
)
from preprocessing import load_films
from util.backbones import ATTENTION, BACKBONES, MODEL_TYPES, POOLED, sees_sex
from util.epoch_end import save_model
from util.errors import UserError
from util.predicting.prediction import compile_predictor, inputs_of
from util.run_pictures import draw_attention
from util.runs import Run

SIZE = 64
# one of each family, the smallest; `make test-full` builds them all
MODULES = {name: getattr(keras.applications, b.builder).__module__ for name, b in BACKBONES.items()}
FAMILIES = {module: name for name, module in reversed(MODULES.items())}
SLOW = {
    *("convnext", "inception_resnet_v2", "nasnet", "vgg16", "vgg19", "densenet", "efficientnet"),
    *("inception_v3", "resnet", "resnet_v2"),
}


def model_of(model_type="sex", backbone="mobilenet", size=SIZE, **options):
    keras.utils.set_random_seed(1)
    scale = {"label_mean": 120.0, "label_sd": 40.0}
    return build_model(model_type, backbone, size, weights="none", **scale, **options)


def films(n=4, size=SIZE):
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (n, size, size, 1)).astype(np.float32)
    return image, (np.arange(n) % 2).astype(np.float32)[:, None]


@pytest.mark.parametrize("name", BACKBONES)
def test_scaling_is_that_of_the_family(name, monkeypatch):
    """What reaches the backbone."""
    monkeypatch.setattr(modeling, "build_backbone", lambda *_: keras.layers.Identity())
    grey = films()[0]
    family = importlib.import_module(MODULES[name])
    expected = family.preprocess_input(np.repeat(grey, 3, axis=3).copy())
    image, features = image_features(name, SIZE, "imagenet")
    np.testing.assert_allclose(keras.Model(image, features)(grey), expected, atol=1e-4)


def test_weights_that_can_not_be_downloaded_are_told_with_what_to_do(monkeypatch):
    def offline(**options):
        assert options["weights"] == "imagenet"
        raise OSError("URL fetch failure: Name or service not known")

    monkeypatch.setattr(keras.applications, "MobileNet", offline)
    with pytest.raises(UserError, match="weights of mobilenet .URL fetch failure.*--weights FILE"):
        build_backbone("mobilenet", SIZE, "imagenet")


@pytest.mark.parametrize("weights", ["none", "FILE"])
def test_efficientnet_is_scaled_as_the_downloaded_one(weights):
    """The network's own normalisation follows; Keras adds 1 / sqrt(SD) to the downloaded one."""
    grey = films()[0]
    mean, sd = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    image = keras.Input((SIZE, SIZE, 1))
    scaling = input_scaling("efficientnet_b0", weights)
    scaled = np.asarray(keras.Model(image, scale_input(image, scaling))(grey))
    expected = (grey / 255 - mean) / sd / np.sqrt(sd)
    np.testing.assert_allclose((scaled / 255 - mean) / sd, expected, atol=1e-4)
    assert input_scaling("efficientnet_b0", "imagenet") == "none"


def enliven(model):
    """Scale random kernels (He et al. 2015), so that signals pass a network whose BatchNorm
    statistics are those of no film."""
    rng = np.random.default_rng(4)
    for weight in backbone_of(model).weights:
        if is_kernel(weight.path):
            depthwise = weight.shape[2] > 1 and weight.shape[3] == 1
            inputs = np.prod(weight.shape[:2] if depthwise else weight.shape[:3])
            weight.assign(rng.normal(0, np.sqrt(2 / inputs), weight.shape))


def weights_of(model, wanted):
    return {
        weight.path: weight.numpy() for weight in backbone_of(model).weights if wanted(weight.path)
    }


def is_kernel(path):
    return path.endswith("kernel")


def is_statistic(path):
    return "/moving_" in path


def is_offset(path):
    return path.endswith("/beta")


def changed(before, after):
    return sum(not np.array_equal(before[path], after[path]) for path in before)


@pytest.mark.parametrize(
    ("phase", "bn", "kernels_train", "statistics_move"),
    [
        ("frozen", "train", False, False),
        ("finetune", "frozen", True, False),
        ("finetune", "train", True, True),
    ],
)
def test_what_a_phase_trains(phase, bn, kernels_train, statistics_move, tiny_mobilenet):
    """Measured through `fit`, which overrules `training=False` of nested networks."""
    with tiny_mobilenet():
        model = model_of(size=32)
    enliven(model)
    freeze_backbone(model) if phase == "frozen" else unfreeze_backbone(model, bn)
    model.compile("adam", "mae", jit_compile=False)
    kinds = (is_kernel, is_statistic, is_offset)
    before = [weights_of(model, which) for which in kinds]
    head = model.get_layer("dense").kernel.numpy()
    model.fit([*films(size=32)], np.full((4, 1), 60.0), epochs=2, verbose=0)
    after = [weights_of(model, which) for which in kinds]
    assert changed(before[0], after[0]) == (len(before[0]) if kernels_train else 0)
    assert changed(before[1], after[1]) == (len(before[1]) if statistics_move else 0)
    assert changed(before[2], after[2]) == (len(before[2]) if kernels_train else 0)
    assert not np.array_equal(head, model.get_layer("dense").kernel.numpy())


def test_a_frozen_backbone_leaves_no_block_out_at_random():
    """EfficientNet does while it trains: the head would learn from other features."""
    model = model_of(backbone="efficientnet_b0", size=32)
    backbone, film = backbone_of(model), np.full((1, 32, 32, 3), 0.5, np.float32)
    freeze_backbone(model)
    freeze_backbone(model)
    same = backbone(film, training=False)
    np.testing.assert_array_equal(backbone(film, training=True), same)
    unfreeze_backbone(model, "frozen")
    assert not np.array_equal(backbone(film, training=True), same)


@pytest.mark.parametrize("by_keras", [True, False])
def test_a_model_that_is_saved_frozen_is_found_as_it_was_built(by_keras, tmp_path):
    def rates(model):
        kind = keras.layers.Dropout
        return [layer.rate for layer in backbone_of(model).layers if isinstance(layer, kind)]

    model, path = model_of(backbone="efficientnet_b0", size=32), tmp_path / "model.keras"
    built = rates(model)
    freeze_backbone(model)
    model.save(path) if by_keras else save_model(model, Run(tmp_path))
    saved = keras.models.load_model(path)
    assert rates(saved) == built
    film = np.full((1, 32, 32, 3), 0.5, np.float32)
    for each in (model, saved):
        freeze_backbone(each)
        backbone = backbone_of(each)
        same = backbone(film, training=False)
        np.testing.assert_array_equal(backbone(film, training=True), same)
    unfreeze_backbone(saved, "frozen")
    assert not np.array_equal(backbone(film, training=True), same)


def test_trainable_counts_follow_the_phase():
    model = model_of(dense_units=10, gender_units=4)
    freeze_backbone(model)
    head = (1024 + 4) * 10 + 10 + 10 + 1 + 4 + 4  # dense, z, sex
    assert count_parameters(model)[0] == head
    unfreeze_backbone(model, "train")
    statistics = sum(2 * layer.gamma.shape[0] for layer in batchnorm_layers(model))
    trainable, total = count_parameters(model)
    assert trainable == total - statistics


def test_attention_models_have_the_names_of_earlier_versions():
    assert BUILDERS["attn_sex"] is attn_sex_model
    assert BUILDERS["attn_sex_improved"] is attn_sex_model_improved


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_first_prediction_is_near_the_mean_age(model_type):
    """The output is months by the training labels' mean and SD."""
    model = model_of(model_type)
    months = predict(model, *films())
    assert months.shape == (4, 1)
    assert np.all(np.abs(months - 120) < 20)


def predict(model, image, sex):
    return np.asarray(model(inputs_of(model, image, sex), training=False))


@pytest.mark.usefixtures("tiny")
def test_a_z_score_becomes_months_by_the_mean_and_sd_of_labels():
    model = model_of()
    kernel, bias = model.get_layer("z").weights
    kernel.assign(kernel * 0)
    bias.assign([-1.5])
    np.testing.assert_allclose(predict(model, *films()), 120 - 1.5 * 40)


@pytest.mark.usefixtures("tiny")
def test_months_and_attention_are_in_float32_whatever_the_precision():
    """In bfloat16 ages from 128 months on would be whole numbers."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = model_of("attn_sex")
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("dense").compute_dtype == "bfloat16"
    for name in ("attention", "z", "months"):
        assert model.get_layer(name).compute_dtype == "float32"


def test_a_model_built_in_python_has_the_defaults_of_a_training():
    options = train_advanced.parse_args([])
    for name, parameter in inspect.signature(build_model).parameters.items():
        if parameter.default is not parameter.empty:
            assert parameter.default == getattr(options, name)


@pytest.mark.usefixtures("tiny")
def test_the_activation_goes_into_all_dense_layers_but_the_last_ones():
    chosen = model_of("attn_sex", activation="tanh")
    for name in ("mask_64", "mask_16", "sex_dense", "dense"):
        assert chosen.get_layer(name).activation is keras.activations.tanh
    for name in ("mask_score", "z"):
        assert chosen.get_layer(name).activation is keras.activations.linear


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("model_type", filter(sees_sex, MODEL_TYPES))
def test_sex_reaches_the_prediction(model_type):
    model = model_of(model_type)
    image, sex = films()
    assert np.all(predict(model, image, sex) != predict(model, image, 1 - sex))


def test_saved_models_load_with_keras_alone(small_run, tiny_mobilenet, tmp_path):
    """A new process, default arguments, safe mode on, the same months; of each model
    type and of a model that training has saved."""
    image, sex = films()
    np.savez(tmp_path / "films.npz", image=image, sex=sex)
    expected = []
    for model_type in MODEL_TYPES:
        with tiny_mobilenet():
            model = model_of(model_type)
        enliven(model)
        kernel = model.get_layer("z").kernel
        kernel.assign(kernel * 20 / predict(model, image, sex).std())
        model.save(tmp_path / f"{model_type}.keras")
        expected.append(predict(model, image, sex)[:, 0])
        assert np.ptp(expected[-1]) > 5
    trained = keras.models.load_model(small_run / "model.keras")
    size = trained.inputs[0].shape[1]
    expected.append(predict(trained, image[:, :size, :size], sex)[:, 0])
    code = f"""
import keras, numpy as np
films = np.load("films.npz")
for name in {[*(f"{kind}.keras" for kind in MODEL_TYPES), str(small_run / "model.keras")]!r}:
    model = keras.models.load_model(name)
    size = model.inputs[0].shape[1]
    given = {{"image": films["image"][:, :size, :size], "sex": films["sex"]}}
    print(*np.asarray(model([given[tensor.name] for tensor in model.inputs]))[:, 0])
"""
    process = run_python("-c", code, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    got = [line.split() for line in process.stdout.splitlines()]
    np.testing.assert_allclose(np.array(got, float), expected, atol=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=()
            if name == FAMILIES[module] and module.rpartition(".")[2] not in SLOW
            else pytest.mark.full,
        )
        for name, module in MODULES.items()
        if not name.startswith(("convnext_large", "convnext_xlarge"))  # gigabytes of weights
    ],
)
def test_backbone_builds_at_its_smallest_size_and_survives_saving(name, tmp_path):
    size = BACKBONES[name].min_size
    model = model_of("baseline", name, size, dense_units=4)
    image = films(2, size)[0]
    expected = predict(model, image, None)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(predict(loaded, image, None), expected, atol=1e-3)
    assert not any(isinstance(layer, keras.layers.Lambda) for layer in model.layers)


def test_put_weights_reaches_what_normalizes():
    """Normalization layers, as in EfficientNet, compute with copies of their weights."""

    def model():
        image = keras.Input((8, 8, 1))
        normal = keras.layers.Normalization(name="normal")
        backbone = keras.Model(image, normal(image), name="mobilenet")
        return keras.Model(image, keras.layers.Flatten()(backbone(image)))

    source, target = model(), model()
    source.get_layer("mobilenet").get_layer("normal").adapt(np.full((2, 8, 8, 1), 3.0))
    put_weights(target, source.get_weights())
    image = np.arange(64.0).reshape(1, 8, 8, 1)
    np.testing.assert_allclose(target(image), source(image))
    assert np.abs(target(image) - image.reshape(1, 64)).max() > 1


def test_weights_of_a_model_with_other_layers_are_refused():
    """As of a run of an earlier version."""
    weights = model_of(dense_units=10).get_weights()
    with pytest.raises(UserError, match="has a model of an earlier version of BoneAge"):
        put_weights(model_of(dense_units=11), weights)


@pytest.mark.parametrize("model_type", ATTENTION)
def test_attention_varies_over_the_picture(model_type):
    """A softmax over one token would be 1 everywhere (S9)."""
    model = model_of(model_type, size=96)
    enliven(model)
    maps = attention_map(model, *films(size=96))
    assert maps.shape == (4, 3, 3)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), 1, atol=1e-5)
    assert np.all(maps.std(axis=(1, 2)) > 1e-4)


def test_attention_follows_a_bright_patch():
    """The map belongs to positions: it moves when the patch moves."""
    model = model_of("attn_sex_improved", size=96)
    enliven(model)
    image = np.zeros((2, 96, 96, 1), np.float32)
    image[0, :32, :32] = image[1, -32:, -32:] = 255
    maps = attention_map(model, image, np.zeros((2, 1), np.float32))
    assert np.abs(maps[0] - maps[1]).max() > 1e-4


@pytest.mark.usefixtures("tiny")
def test_rows_of_an_attention_map_are_rows_of_the_film():
    model = model_of("attn_sex")
    enliven(model)
    image, sex = films()
    features = keras.Model(model.inputs, model.get_layer("positions").input)
    scores = features([image, sex])
    for name in ("mask_64", "mask_16", "mask_score"):
        scores = model.get_layer(name)(scores)
    shares = np.exp(scores)[..., 0]
    expected = shares / shares.sum(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(attention_map(model, image, sex), expected, rtol=1e-3)


@pytest.mark.usefixtures("tiny")
def test_improved_attention_and_its_gate_depend_on_the_sex():
    """The query is made of the sex and the film."""
    model = model_of("attn_sex_improved")
    enliven(model)
    image, sex = films()
    for read_out in (attention_map, fusion_gate):
        values, others = read_out(model, image, sex), read_out(model, image, 1 - sex)
        assert np.all(np.abs(values - others).reshape(4, -1).max(axis=1) > 1e-5)


def test_improved_attention_knows_positions_and_no_scale_of_features():
    """Tokens of a feature map without contrast differ at its edge, and are normalized."""
    image = keras.Input((5, 5, 3), name="image")
    head = months_head(120, 40, "relu", 0.3, 8, seed=1)
    keras.utils.set_random_seed(1)
    model = attn_sex_model_improved(image, image, head, "relu", 4)
    tokens = keras.Model(model.inputs, model.get_layer("tokens_norm").output)
    even = np.full((1, 5, 5, 3), 30.0)
    values = np.asarray(tokens([even, np.ones((1, 1))])).reshape(5, 5, -1)
    assert np.abs(values[0, 0] - values[2, 2]).max() > 0.01
    np.testing.assert_allclose(values.mean(axis=-1), 0, atol=1e-4)
    np.testing.assert_allclose(values.std(axis=-1), 1, atol=1e-2)


@pytest.mark.usefixtures("tiny")
def test_the_gate_sees_the_query_and_the_values_of_four_heads():
    model = model_of("attn_sex_improved")
    enliven(model)
    names = ("attended", "query_input", "gate_input", "gate", "gated", "attention")
    reader = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    attended, query, seen, gate, gated, (_, scores) = reader([*films()])
    np.testing.assert_array_equal(seen, np.concatenate([attended, query], axis=1))
    np.testing.assert_allclose(gated, np.multiply(gate, attended), rtol=1e-5)
    assert scores.shape == (4, 4, 1, 64)
    mean = np.mean(scores, axis=1).reshape(4, 8, 8)
    np.testing.assert_allclose(attention_map(model, *films()), mean, rtol=1e-5)


def test_the_attention_of_a_run_is_drawn(phantoms, tmp_path):
    """Four films of the test split in two rows, in the run's folder of plots."""
    model_of("attn_sex").save(tmp_path / "model.keras")
    films = load_films(phantoms, "test", SIZE, "pad", cache_dir=tmp_path / "cache")
    path = draw_attention(Run(tmp_path), films)
    assert path == tmp_path / "plots" / "attention.png"
    height, width, _ = cv2.imread(str(path)).shape
    assert 1.5 < width / height < 2.1


@pytest.mark.usefixtures("tiny")
def test_improved_attention_starts_from_the_plain_model():
    """Its months are those of `sex` with the same weights, until training adds to them."""
    plain, improved = model_of("sex"), model_of("attn_sex_improved")
    enliven(plain)
    for layer in plain.layers:
        improved.get_layer(layer.name).set_weights(layer.get_weights())
    expected = predict(plain, *films())
    np.testing.assert_allclose(predict(improved, *films()), expected, atol=1e-3)
    kernel, _ = improved.get_layer("added").weights
    kernel.assign(np.random.default_rng(4).normal(0, 0.1, kernel.shape))
    assert np.abs(predict(improved, *films()) - expected).max() > 1e-2


@pytest.mark.usefixtures("tiny")
def test_improved_attention_predicts_without_errors_of_tensorflow(capfd):
    model = model_of("attn_sex_improved")
    enliven(model)
    compile_predictor(model)(*films())
    assert "failed" not in capfd.readouterr().err


@pytest.mark.usefixtures("tiny")
def test_gate_can_be_read_out():
    gate = fusion_gate(model_of("attn_sex_improved"), *films())
    assert gate.shape == (4, 128)
    assert np.all((gate > 0) & (gate < 1))


@pytest.mark.usefixtures("tiny")
def test_a_model_without_attention_says_so():
    with pytest.raises(UserError, match="no attention"):
        attention_map(model_of("sex"), *films())


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_what_is_behind_pooled_features_gives_the_months_of_the_model(model_type, tmp_path):
    """Or is refused; also after saving, and a second time."""
    model, (image, sex) = model_of(model_type), films()
    model.save(tmp_path / "model.keras")
    for each in (model, model, keras.models.load_model(tmp_path / "model.keras")):
        if model_type == "attn_sex_improved":
            with pytest.raises(UserError, match="sees more than pooled features .attn_sex_model_i"):
                pooled_head(each)
            continue
        inputs = inputs_of(each, image, sex)
        reader = keras.Model(each.inputs, each.get_layer("pooled").output)
        months = pooled_head(each)(inputs_of(each, np.asarray(reader(inputs)), sex))
        np.testing.assert_allclose(months, each(inputs), rtol=1e-5)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("model_type", POOLED)
def test_another_layer_of_the_head_is_behind_the_pooled_features_too(model_type, monkeypatch):
    def longer_head(*args):
        head = months_head(*args)
        return lambda features: head(keras.layers.Dense(7, "tanh", name="another")(features))

    monkeypatch.setattr("modeling_advanced.months_head", longer_head)
    model, (image, sex) = model_of(model_type), films()
    inputs = inputs_of(model, image, sex)
    pooled = keras.Model(model.inputs, model.get_layer("pooled").output)(inputs)
    months = pooled_head(model)(inputs_of(model, np.asarray(pooled), sex))
    np.testing.assert_allclose(months, model(inputs), rtol=1e-5)


def test_a_network_of_ones_own_has_no_backbone():
    own = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()], name="own")
    with pytest.raises(UserError, match="no backbone of BoneAge .own.*image_features"):
        freeze_backbone(own)


def test_weights_file_is_loaded_and_a_wrong_one_refused(tmp_path):
    source = build_backbone("mobilenet", SIZE, "none")
    path = tmp_path / "mobilenet.weights.h5"
    source.save_weights(path)
    copy = build_backbone("mobilenet", 96, path)
    for a, b in zip(source.weights, copy.weights, strict=True):
        assert np.array_equal(a.numpy(), b.numpy())
    with pytest.raises(UserError, match=r"not the include_top=False weights of mobilenet_v2"):
        build_backbone("mobilenet_v2", SIZE, path)
    with pytest.raises(UserError, match="no such weights file"):
        build_backbone("mobilenet", SIZE, tmp_path / "none.h5")


@pytest.mark.usefixtures("tiny")
def test_none_is_no_weights_as_in_keras():
    keras.utils.set_random_seed(1)
    model = build_model("sex", "mobilenet", SIZE, weights=None, label_mean=120.0, label_sd=40.0)
    for ours, expected in zip(model.get_weights(), model_of().get_weights(), strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet"}, "unknown backbone.*resnet50"),
        ({"backbone": "xception", "size": 64}, "--img_size 64.*71"),
        ({"model_type": "attention"}, "unknown model type.*attn_sex"),
        ({"activation": "relu7"}, "--activation relu7"),
        ({"activation": "glu"}, "--activation glu"),  # half as many features
        ({"activation": "threshold"}, "--activation threshold"),  # needs more than features
    ],
)
def test_wrong_choices_are_named(options, message):
    with pytest.raises(UserError, match=message):
        model_of(**options)
