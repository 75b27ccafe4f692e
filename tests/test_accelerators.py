"""Half precision, XLA and several devices: the same training, faster on the right machine."""

import json
import signal

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from commands import ROOT, SMALL_BACKBONE, check_error_line
from trainings import epochs_trained, kill_training, read_history

import train_advanced
import train_advanced_streamlined
from modeling_advanced import pooled_head
from preprocessing import load_films
from util.accelerators import describe_acceleration, single_precision
from util.build import build_from
from util.epoch_end import averaged_weights
from util.errors import UserError
from util.optimizer import compile_model, make_optimizer, rate_schedule
from util.runs import Run
from util.saved_state import Progress, read_state, restore, write_state
from util.training import batchnorm_mode, record_devices, record_precision

TINY = [
    *("--backbone", "mobilenet", "--weights", "none", "--img_size", "32", "--batch_size", "8"),
    *("--epochs_frozen", "1", "--fine_tune", "--epochs_finetune", "1", "--dense_units", "8"),
]


@pytest.fixture(scope="module")
def train(command, inside, tiny_mobilenet, phantoms, results):
    """Run train_advanced.py on one device, in this process, or on two, in one of its own; returns
    (process, run folder). With `kill_after` it is killed when so many epochs are saved."""

    def run(name, *words, devices=1, kill_after=None):
        where = ("--data_dir", phantoms, "--results_dir", results, "--run_name", name)
        words, run = ("train_advanced.py", *where, *TINY, *words), results / name
        if kill_after:
            killed = kill_training((SMALL_BACKBONE, *words), run, kill_after, DEVICES=str(devices))
            return killed, run
        if devices > 1:
            return command(SMALL_BACKBONE, *words, DEVICES=str(devices)), run
        with tiny_mobilenet():
            return inside(*words), run

    return run


# ------------------------------------------------------------------------------- several devices


def test_two_devices_lose_as_much_as_one(train):
    """The losses at the same global batch: to 1e-4, without dropout and clipping, which are drawn
    and done on each device, and with the statistics of BatchNorm frozen."""
    exact = ["--dropout_rate", "0", "--gradient_clip_norm", "0", "--bn", "frozen"]
    exact += ["--img_size", "64", "--dense_units", "64"]
    exact += ["--epochs_frozen", "2", "--lr", "0.1", "--lr_finetune", "0.01"]
    one, two = train("one", *exact), train("two", *exact, "--strategy", "mirrored", devices=2)
    assert two[0].returncode == 0, two[0].stderr
    assert "mirrored on 2 devices, 4 films a step on each" in two[0].stdout
    losses = [read_history(run)["loss"].to_numpy() for _, run in (one, two)]
    assert np.ptp(losses[0]) > 0.02, losses  # it does learn
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-4)
    np.testing.assert_allclose(
        read_history(two[1])["val_mae"], read_history(one[1])["val_mae"], atol=0.02
    )
    config = json.loads((two[1] / "config.json").read_text())
    assert config["options"]["strategy"] == "mirrored"


def test_batch_statistics_averages_and_resuming_work_on_two_devices(train):
    """All defaults: BatchNorm follows the shares, weights are averaged, gradients clipped. A run
    that was killed in the middle goes on to the same end."""
    words = ("--strategy", "mirrored", "--epochs_finetune", "3")
    process, run = train("unbroken", *words, devices=2)
    assert process.returncode == 0, process.stderr
    assert "BatchNorm: train" in process.stdout
    killed, _ = train("killed", *words, devices=2, kill_after=2)
    assert killed.returncode == -signal.SIGKILL, "it ended before it was killed"
    process, killed = train("killed", *words, "--resume", devices=2)
    assert process.returncode == 0, process.stderr
    assert epochs_trained(killed) <= 5, "it began anew"
    pd.testing.assert_frame_equal(read_history(killed), read_history(run))


def test_mirrored_needs_several_devices(train):
    process, run = train("alone", "--strategy", "mirrored")
    check_error_line(process, "there is only one device")
    assert not run.exists()


@pytest.mark.full
def test_batches_must_be_shared_out_evenly(train):
    process, _ = train("odd", "--strategy", "mirrored", "--batch_size", "7", devices=2)
    check_error_line(process, "Use a multiple of 2")


def test_a_share_of_a_batch_decides_on_statistics_and_clipping():
    args = train_advanced.parse_args(["--batch_size", "16"])
    assert batchnorm_mode(args, devices=1) == "train"
    assert batchnorm_mode(args, devices=2) == "frozen"
    assert make_optimizer(args, 1e-3, 100, devices=4).global_clipnorm == 0.25
    args.gradient_clip_norm = 0.0
    assert make_optimizer(args, 1e-3, 100, devices=4).global_clipnorm is None


# --------------------------------------------------------------------------------- half precision


@pytest.fixture(scope="module")
def films(phantoms):
    return load_films(phantoms, "train", 32, "pad", cache_dir=None)


def build(films, policy, monkeypatch, *words):
    """A model of the options in a dtype policy, and the options."""
    monkeypatch.setattr("util.accelerators.precision", lambda args: policy)
    args = train_advanced.parse_args([*TINY, *words])
    return build_from(films, args), args


@pytest.mark.parametrize(("policy", "months_off"), [("mixed_float16", 0.1), ("mixed_bfloat16", 1)])
def test_half_precision_computes_the_months_of_the_saved_model(
    policy, months_off, films, monkeypatch, tmp_path
):
    model, _ = build(films, policy, monkeypatch)
    assert model.get_layer("mobilenet").dtype_policy.name == policy
    assert model.output.dtype == "float32"
    rng = np.random.default_rng(0)
    for weight in model.weights:  # months that differ from film to film
        if weight.path.endswith("kernel") and "mobilenet" not in weight.path:
            weight.assign(rng.normal(0, 1 / np.sqrt(weight.shape[0]), weight.shape))
    head, saved = pooled_head(model), single_precision(model)
    features = rng.random((64, 1024)).astype("float32") * 4
    sex = rng.integers(0, 2, (64, 1)).astype("float32")
    months = [np.asarray(m([features, sex])) for m in (head, pooled_head(saved))]
    assert months[1].std() > 5
    assert 0 < np.abs(months[0] - months[1]).mean() < months_off
    saved.save(tmp_path / "model.keras")
    assert "mixed" not in keras.models.load_model(tmp_path / "model.keras").to_json()
    assert keras.config.dtype_policy().name == "float32"


def test_a_model_in_half_precision_is_saved_without_its_loss_and_its_schedule(films, monkeypatch):
    """Loading them would need code of ours."""
    words = ("--loss_type", "wing", "--use_cyclical_lr")
    monkeypatch.setattr("util.accelerators.precision", lambda args: "mixed_bfloat16")
    args = train_advanced_streamlined.parse_args([*TINY, *words])
    model = build_from(films, args)
    compile_model(model, rate_schedule(args, 1e-3, 100, 10), 100, films.label_sd, args)
    saved = single_precision(model)
    assert not saved.compiled
    assert "wing" not in saved.to_json()
    assert saved.dtype_policy.name == "float32"


def test_scaled_losses_keep_averages_and_the_state(films, monkeypatch, tmp_path):
    """Keras wraps the optimizer to scale the loss; averages and saved states must see through."""
    head, args = fitted_head(films, monkeypatch)
    assert isinstance(head.optimizer, keras.optimizers.LossScaleOptimizer)
    current = [w.numpy() for w in head.trainable_variables]
    with averaged_weights(head):
        averages = [w.numpy() for w in head.trainable_variables]
    for weight, value in zip(head.trainable_variables, current, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    expected = head.optimizer.inner_optimizer._model_variables_moving_average
    for got, average in zip(averages, expected, strict=True):
        np.testing.assert_array_equal(got, average)
    assert any(not np.array_equal(a, c) for a, c in zip(averages, current, strict=True))
    run = Run(tmp_path)
    write_state(head, Progress(next_epoch=1), run)
    other, _ = fitted_head(films, monkeypatch, steps=0)
    restore(other, read_state(run)[1], with_optimizer=True)
    for part in ("weights", "optimizer.variables"):
        for a, b in zip(get(head, part), get(other, part), strict=True):
            np.testing.assert_array_equal(a, b)


OVERFLOW = """
import util
import tensorflow as tf
processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, 2 * [tf.config.LogicalDeviceConfiguration()])
import keras
import numpy as np
from util.accelerators import scale_loss
keras.config.set_dtype_policy("mixed_float16")
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    film = keras.Input((2,))
    months = keras.layers.Dense(1, dtype="float32")(keras.layers.Dense(3)(film))
    model = keras.Model(film, months)
    model.compile(scale_loss(keras.optimizers.Adam(), model), "mae")
    model.optimizer.build(model.trainable_variables)
    model.optimizer.dynamic_scale.assign(2.0**60)
counts = np.array([0, 0, 1, 1])  # only the second device has a gradient, and it is too large
before = model.get_weights()
model.fit(np.ones((4, 2)), np.ones(4), batch_size=4, sample_weight=counts, verbose=0)
assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights()))
assert float(model.optimizer.dynamic_scale.numpy()) == 2.0**59
"""


def test_a_step_that_overflows_on_one_of_two_devices_is_skipped(command, tmp_path):
    (tmp_path / "overflow.py").write_text(OVERFLOW)
    process = command(tmp_path / "overflow.py", PYTHONPATH=str(ROOT))
    assert process.returncode == 0, process.stderr


def test_a_run_goes_on_in_its_precision_alone(films, monkeypatch):
    model, _ = build(films, "mixed_bfloat16", monkeypatch)
    progress = Progress()
    record_precision(progress, model)
    record_precision(progress, model)
    with pytest.raises(
        UserError, match="began in mixed_float16.*Resume where it began, with a GPU"
    ):
        record_precision(Progress(precision="mixed_float16"), model)


def test_a_run_goes_on_on_as_many_devices_alone():
    """On more of them, BatchNorm may be frozen in the middle of a phase."""
    progress = Progress()
    record_devices(progress, 2)
    record_devices(progress, 2)
    with pytest.raises(UserError, match="began on 2 devices, here it would be on 4"):
        record_devices(progress, 4)


def test_nested_models_are_saved_in_single_precision(monkeypatch):
    """Their inputs name the type alone, not the policy: ConvNeXt has such models."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        nested = keras.Sequential([keras.layers.Dense(2)], name="mobilenet")
        inputs = keras.Input((3,), dtype="float32")
        model = keras.Model(inputs, nested(keras.layers.Dense(3)(inputs)))
    finally:
        keras.config.set_dtype_policy("float32")
    assert "bfloat16" in model.to_json()
    assert "bfloat16" not in single_precision(model).to_json()


def fitted_head(films, monkeypatch, steps=3):
    model, args = build(films, "mixed_float16", monkeypatch)
    head = pooled_head(model)
    compile_model(head, 0.01, 100, films.label_sd, args)
    rng = np.random.default_rng(1)
    features, sex = rng.random((4, 1024)).astype("float32"), np.ones((4, 1), "float32")
    if steps:
        head.fit([features, sex], np.full((4, 1), 60.0), epochs=steps, verbose=0)
    for weight in head.trainable_variables:
        weight.assign(weight + 0.1)  # `fit` ends on the averages
    return head, args


@pytest.mark.parametrize(
    ("seen", "driver", "chosen", "note"),
    [
        (0, True, None, "TensorFlow does not see the GPU"),
        (0, True, "-1", ""),
        (0, False, None, ""),
        (1, True, None, ""),
        (2, True, None, "only one of 2 GPUs is used"),
    ],
)
def test_a_gpu_that_is_left_idle_is_told(seen, driver, chosen, note, tmp_path, monkeypatch):
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr("util.accelerators.NVIDIA", tmp_path / ("nvidia0" if driver else "none"))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind] * seen)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    lines = describe_acceleration(model, train_advanced.parse_args(["--img_size", "256"]))
    assert len(lines) == bool(note)
    assert note in "".join(lines)


def test_large_films_without_a_gpu_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr("util.accelerators.NVIDIA", tmp_path / "none")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    (line,) = describe_acceleration(model, train_advanced.parse_args([]))
    assert "films of 500 pixels train slowly" in line
    assert "--preset cpu" in line


def get(model, path):
    for name in path.split("."):
        model = getattr(model, name)
    return [variable.numpy() for variable in model]


@pytest.mark.full
@pytest.mark.filterwarnings("error:Model doesn't support")  # Keras's, beside our note
@pytest.mark.parametrize("words", [("--mixed_precision",), ("--jit_compile",)])
def test_a_run_in_half_precision_or_compiled_is_a_run(train, words):
    process, run = train(words[0].strip("-"), *words)
    assert process.returncode == 0, process.stderr
    val = pd.read_csv(run / "predictions_val.csv")
    assert val["error"].abs().mean() == pytest.approx(read_history(run)["val_mae"].min(), abs=0.5)
    note = {"--mixed_precision": "mixed_bfloat16", "--jit_compile": "does nothing without a GPU"}
    assert note[words[0]] in process.stdout
    assert json.loads((run / "config.json").read_text())["options"][words[0].strip("-")] is True
