"""Every option changes something, its value lands in config.json, and none is idle in silence."""

import dataclasses
import re
from functools import cache
from itertools import chain
from pathlib import Path

import keras
import numpy as np
import pytest

import predict
import run_all_backbones
import train_advanced_streamlined
import train_baseline
from inference_speed import compute_inference_speed
from preprocessing import load_films
from util.build import build_from
from util.optimizer import compile_model, rate_schedule
from util.parser import MOST_NAMES, did_you_mean
from util.phases import plan_phases
from util.presets import PRESETS
from util.radiographs import FITS
from util.run_folder import open_run
from util.training import choose_trainable, training_batches
from util.training_options import training_defaults, training_parser
from util.tta import views_to_evaluate

TINY = ("--backbone", "mobilenet", "--weights", "none", "--img_size", "32", "--batch_size", "4")
FINE = ("--fine_tune",)
CYCLE = (*FINE, "--use_cyclical_lr", "--clr_max_lr", "0.01", "--clr_step_size", "10")
# option, its value, and the options that it needs beside it
CASES = [
    ("augment", "strong", ()),
    ("preset", "quick", ()),
    ("mixup_alpha", 0.4, ("--batch_size", "8")),  # four films can stay where they are
    ("label_noise_std", 5.0, ()),
    ("blur", 0.006, ()),
    ("grain", 12.0, ()),
    ("batch_size", 8, ()),
    ("seed", 7, ()),
    ("img_size", 64, ()),
    ("fit", "stretch", ()),
    ("loss_type", "mse", ()),
    ("huber_delta", 2.0, ("--loss_type", "huber")),
    ("smooth_l1_sigma", 0.5, ("--loss_type", "smooth_l1")),
    ("wing_w", 5.0, ("--loss_type", "wing")),
    ("wing_epsilon", 1.0, ("--loss_type", "wing")),
    ("lr", 0.02, ()),
    ("lr_finetune", 0.02, FINE),
    ("epochs_frozen", 2, ()),
    ("epochs_finetune", 3, FINE),
    ("bn", "frozen", FINE),
    ("weight_decay", 0.2, ()),
    ("gradient_clip_norm", 0.0, ()),
    ("ema", 0.0, ()),
    ("use_cyclical_lr", True, FINE),
    ("clr_max_lr", 0.02, CYCLE),
    ("clr_step_size", 20, CYCLE),
    ("clr_mode", "triangular2", CYCLE),
    ("clr_gamma", 0.9, (*CYCLE, "--clr_mode", "exp_range")),
    ("model_type", "attn_sex", ()),
    ("backbone", "mobilenet_v2", ()),
    ("activation", "tanh", ()),
    ("dropout_rate", 0.6, ()),
    ("dense_units", 20, ()),
    ("gender_units", 5, ()),
    ("mixed_precision", True, ()),
]
BESIDE = {option: beside for option, _, beside in CASES}
PARSER = training_parser(None, enhancements=True)
CHOICES = {a.dest: a.choices for a in PARSER._actions if a.choices and a.dest in BESIDE}
del CHOICES["backbone"]  # tests/test_modeling.py builds them
# Seen at work in tests of these files: what they change is not what a training starts with.
ELSEWHERE = {
    "test_brief.py": ("data_dir", "results_dir"),
    "test_sexes.py": ("male_value",),
    "test_start.py": ("weights",),
    "test_training.py": (
        *("fine_tune", "patience", "keep_epoch", "batch_size_eval", "verbose", "show"),
    ),
    "test_features.py": ("feature_views", "cache_dir"),
    "test_accelerators.py": ("jit_compile", "strategy"),
    "test_run_folder.py": ("run_name",),
    "test_resuming.py": ("resume",),
    "test_folds.py": ("folds", "fold"),
    "test_evaluation.py": ("use_tta", "tta_steps", "use_clahe_val_test"),
    "test_lr_range.py": ("find_lr",),
}


def typed(option, value):
    return (f"--{option}",) if value is True else (f"--{option}", str(value))


def what_training_starts_with(args, films):
    """All that the options decide before the first step, as one text."""
    films = films[args.img_size, args.fit]
    keras.backend.clear_session()  # layers without a name are numbered on
    model = build_from(films, args)
    batch = next(iter(training_batches(model, films, args, 0, 1)))
    errors = np.array([[0.2], [1.5], [4.0], [8.0], [30.0]], np.float32)
    phases = []
    for phase in plan_phases(args):
        bn = choose_trainable(model, phase, args)
        schedule = rate_schedule(args, phase.lr, steps=100, steps_an_epoch=10)
        rates = [float(schedule(step)) for step in range(0, 100, 3)]
        compile_model(model, phase.lr, 100, films.label_sd, args)
        optimizer = model.optimizer.get_config()
        loss = np.asarray(model.loss(errors * 0, errors)).tolist()
        phases.append([dataclasses.asdict(phase), bn, rates, optimizer, loss])
    numbers = [np.asarray(part).tolist() for part in keras.tree.flatten(batch)]
    return repr([model.to_json(), numbers, phases])


@pytest.fixture(scope="module")
def films(phantoms):
    return {
        key: load_films(phantoms, "train", *key, cache_dir=None)
        for key in ((64, "hand"), *((32, fit) for fit in FITS))
    }


@pytest.fixture(scope="module")
def unchanged(films):
    """What a training starts with under some words, as without the option of a case; most are
    compared with the same."""

    @cache
    def start(beside):
        args = train_advanced_streamlined.parse_args([*TINY, *beside])
        return what_training_starts_with(args, films)

    return start


@pytest.mark.usefixtures("tiny")
def test_the_same_options_start_a_training_with_the_same(films, unchanged):
    """Else the next test could not fail."""
    args = train_advanced_streamlined.parse_args(TINY)
    assert what_training_starts_with(args, films) == unchanged(())


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("option", "value", "beside"), CASES)
def test_an_option_changes_something_and_is_noted(
    option, value, beside, films, unchanged, phantoms, tmp_path
):
    run = ("--data_dir", str(phantoms), "--results_dir", str(tmp_path), "--run_name", "run")
    args = train_advanced_streamlined.parse_args([*TINY, *run, *beside, *typed(option, value)])
    assert what_training_starts_with(args, films) != unchanged(beside)
    config = open_run(args, "unnamed").read_json("config.json")
    assert config["options"][option] == value


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("option", CHOICES)
def test_each_choice_of_an_option_starts_another_training(option, unchanged):
    """One that does nothing is worse than none."""
    choices = [choice for choice in CHOICES[option] if choice != "auto"]  # which is one of the rest
    starts = {unchanged((*BESIDE[option], *typed(option, choice))) for choice in choices}
    assert len(starts) == len(choices) > 1


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--loss_type", "huber", "--huber_delta", "2"), [0.02, 1.125, 6, 58]),
        (("--loss_type", "smooth_l1", "--smooth_l1_sigma", "0.5"), [0.005, 0.28125, 2, 28]),
        (
            ("--loss_type", "wing", "--wing_w", "5", "--wing_epsilon", "1"),
            [5 * np.log(1.2), 5 * np.log(2.5), 5 * np.log(5), 25 + 5 * np.log(6)],
        ),
    ],
)
def test_a_loss_is_the_same_in_both_phases(films, words, expected):
    """D16."""
    errors = np.array([[0.2], [1.5], [4.0], [30.0]], np.float32)
    args = train_advanced_streamlined.parse_args([*TINY, *FINE, *words])
    model, losses = build_from(films[32, "hand"], args), []
    for phase in plan_phases(args):
        choose_trainable(model, phase, args)
        compile_model(model, phase.lr, 100, films[32, "hand"].label_sd, args)
        losses.append(float(np.mean(model.loss(errors * 0, errors))))
    assert losses == pytest.approx([np.mean(expected)] * 2)


def test_folders_are_those_of_the_brief():
    assert train_advanced_streamlined.parse_args([]).data_dir == "Data"
    assert run_all_backbones.parse_args([])[0].results_dir == "backbone_results"
    assert compute_inference_speed.parse_args([]).results_dir == "inference_results"


def test_no_weights_have_the_name_of_earlier_versions_too():
    assert train_advanced_streamlined.parse_args(["--weights", "None"]).weights == "none"


def test_batch_sizes_have_the_names_of_earlier_versions_too():
    words = ["--batch_size_train", "12", "--batch_size_val", "8", "--batch_size_test", "6"]
    args = train_advanced_streamlined.parse_args(words)
    assert (args.batch_size, args.batch_size_eval) == (12, 6)  # the last typed counts


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_all_of_its_options(name):
    args = vars(train_advanced_streamlined.parse_args(["--preset", name]))
    options = PRESETS[name].options
    assert options.keys() <= training_defaults().keys()  # else they are spelt otherwise
    assert {option: args[option] for option in options} == options


def test_one_view_turns_the_views_of_a_preset_off():
    args = train_advanced_streamlined.parse_args(["--preset", "cpu", "--tta_steps", "1"])
    assert views_to_evaluate(vars(args)) == [1]


def test_a_typed_option_overrides_the_preset():
    args = train_advanced_streamlined.parse_args(["--preset", "cpu", "--epochs_finetune", "3"])
    assert (args.img_size, args.epochs_finetune) == (192, 3)
    assert (args.use_tta, args.tta_steps) == (True, 5)


@pytest.mark.parametrize("switch", ["fine_tune", "mixed_precision", "use_tta"])
def test_a_switch_of_the_preset_can_be_turned_off(switch):
    gpu = train_advanced_streamlined.parse_args(["--preset", "gpu"])
    args = train_advanced_streamlined.parse_args(["--preset", "gpu", f"--no_{switch}"])
    assert vars(args) == vars(gpu) | {switch: False, "command": args.command}
    train_advanced_streamlined.parse_args(["--preset", "gpu", f"--no_{switch}", "--find_lr"])


def test_every_option_has_a_case():
    options = set(vars(train_advanced_streamlined.parse_args([]))) - {"command"}
    assert options == {*BESIDE, *chain.from_iterable(ELSEWHERE.values())}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_seen_at_work_elsewhere_is_typed_there(name):
    text = Path(__file__).with_name(name).read_text()
    assert not [option for option in ELSEWHERE[name] if not re.search(rf"--{option}\b", text)]


@pytest.fixture
def refusal(capsys):
    """What a script says, in one line, of options that it refuses with exit code 2."""

    def refuse(script, *words):
        with pytest.raises(SystemExit) as end:
            script.parse_args(words)
        assert end.value.code == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    return refuse


@pytest.mark.parametrize(
    ("words", "case"),
    [
        ("--lr 0.1 --epochs_frozen 0 --fine_tune", "without --epochs_frozen above 0"),
        ("--lr_finetune 0.1", "without --fine_tune"),
        ("--epochs_finetune 3", "without --fine_tune"),
        ("--bn train", "without --fine_tune"),
        ("--gender_units 5 --model_type baseline", "with --model_type baseline"),
        ("--huber_delta 3", "without --loss_type huber"),
        ("--smooth_l1_sigma 3 --loss_type huber", "without --loss_type smooth_l1"),
        ("--wing_w 3", "without --loss_type wing"),
        ("--wing_epsilon 3", "without --loss_type wing"),
        ("--clr_max_lr 0.1", "without --use_cyclical_lr"),
        ("--clr_gamma 0.9 --use_cyclical_lr", "without --clr_mode exp_range"),
        ("--tta_steps 3", "without --use_tta"),
        ("--tta_steps 3 --find_lr --preset cpu", "with --find_lr"),
        ("--lr_finetune 0.1 --preset cpu --no_fine_tune", "without --fine_tune"),
        ("--fold 2", "without --folds"),
        ("--fold 6 --folds 5 --run_name x", "without --folds"),
        ("--fold 2 --folds 5", "without --run_name"),
        ("--use_clahe_val_test --folds 5", "with --folds"),
        ("--folds 5 --find_lr", "with --find_lr"),
        ("--use_tta --find_lr", "with --find_lr"),
        ("--use_tta --tta_steps 1", "with --tta_steps 1, a single view"),
        ("--resume --find_lr --run_name x", "with --find_lr"),
        ("--lr_finetune 0.1 --find_lr --fine_tune", "with --find_lr"),
        (
            "--lr 0.1 --find_lr",
            "with --find_lr, unless the head is trained first (--epochs_frozen and --fine_tune)",
        ),
        ("--ema 0.9 --find_lr --fine_tune --epochs_frozen 0", "with --find_lr, unless the head"),
        (
            "--ema 0.9 --find_lr",
            "with --find_lr, unless the head is trained first (--epochs_frozen and --fine_tune)",
        ),
        ("--batch_size_eval 9 --find_lr", "with --find_lr"),
        ("--show --folds 5", "with --folds"),
        ("--mixup_alpha 0.2 --batch_size 1", "with --batch_size 1: a film is mixed with others"),
        ("--feature_views 2 --augment none", "above 1 with --augment none"),
        ("--feature_views 2 --fine_tune", "with --fine_tune"),
        ("--feature_views 2 --epochs_frozen 0 --fine_tune", "without --epochs_frozen above 0"),
        ("--feature_views 2 --model_type attn_sex", "without pooled features"),
        ("--mixup_alpha 0.2 --feature_views 2", "with --feature_views"),
        ("--blur 0.006 --feature_views 2", "with --feature_views"),
        ("--grain 12 --feature_views 2", "with --feature_views"),
        ("--find_lr --feature_views 2", "with --feature_views"),
        ("--strategy mirrored --feature_views 2", "with --feature_views"),
        ("--jit_compile --strategy mirrored", "with --strategy mirrored"),
    ],
)
def test_an_idle_option_is_an_error(words, case, refusal):
    """D13, S6: a flag that does nothing is worse than none."""
    error = refusal(train_advanced_streamlined, *words.split())
    assert error.startswith(f"error: {words.split()[0]} has no effect {case}")


def test_the_default_typed_out_is_idle_too(refusal):
    assert "--tta_steps has no effect" in refusal(train_advanced_streamlined, "--tta_steps", "5")


def test_a_value_that_switches_off_is_not_idle():
    words = "--mixup_alpha 0 --feature_views 2"
    assert train_advanced_streamlined.parse_args(words.split()).mixup_alpha == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--backbone MobilNet", "unknown 'MobilNet' (did you mean mobilenet?)"),
        ("--backbone zzz", "(choose from "),
        ("--img_sise 64", "unrecognized arguments: --img_sise 64 (did you mean --img_size?)"),
        ("--epochs 3", "--epochs 3 (did you mean --epochs_frozen or --epochs_finetune?)"),
        ("--zzz", "unrecognized arguments: --zzz. See"),
        ("--=1", "unrecognized arguments: --=1. See"),
        (
            "--lr 1 --us",
            "--us (did you mean --use_clahe_val_test or --use_tta or --use_cyclical_lr?)",
        ),
        ("--clr_m", "--clr_m (did you mean --clr_max_lr or --clr_mode?)"),
        ("--zzz=1 --img_sise=2", "--zzz=1 --img_sise=2 (did you mean --img_size?). See"),
    ],
)
def test_a_typing_error_is_told_what_it_is_near_to(refusal, words, told):
    assert told in refusal(train_advanced_streamlined, *words.split())


def test_a_word_that_many_names_begin_with_is_near_to_none():
    names = [f"--c{n}_and_more" for n in range(MOST_NAMES + 1)]
    assert did_you_mean(["--c"], names) == ""
    assert did_you_mean(["--c"], names[1:]) == f" (did you mean {' or '.join(names[1:])}?)"


def test_the_baseline_does_not_offer_what_it_ignores(refusal):
    assert "unrecognized arguments: --gender_units 5" in refusal(
        train_baseline, "--gender_units", "5"
    )


@pytest.mark.parametrize(
    ("words", "option"), [(["--weights", ""], "--weights"), (["--data_dir="], "--data_dir")]
)
def test_an_empty_value_is_no_choice(words, option, refusal):
    assert f"{option} is empty" in refusal(train_baseline, *words)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("--summarise --shard 1/2", "not allowed with argument --summarise"),
        ("--ray --shard 1/2", "not allowed with argument --ray"),
        ("--gpus_per_run 2", "--gpus_per_run has no effect without --ray"),
        ("--shard 3/2", "3/2 is not a share"),
        ("--shard 3", "3 is not a share like 1/4"),
        ("--shard 0/2", "0/2 is not a share"),
        ("--shard two", "two is not a share like 1/4"),
        ("--summarise --backbones vgg16", "--backbones has no effect with --summarise"),
        ("--summarise --dry_run", "--dry_run has no effect with --summarise"),
        ("--summarise --no_estimate", "--no_estimate has no effect with --summarise"),
        ("--summarise --fine_tune", "--fine_tune has no effect with --summarise"),
        ("--backbone xception", "is chosen by the sweep"),
        ("--run_name x", "is chosen by the sweep"),
        ("--resume", "is not needed"),
        ("--folds 5", "--folds is not for a sweep"),
        ("--show", "--show is not for a sweep, which would wait for you"),
    ],
)
def test_what_a_sweep_refuses(words, error, refusal):
    assert error in refusal(run_all_backbones, *words.split())


@pytest.mark.parametrize(("word", "letter"), [("f", "F"), ("Girl", "F"), ("boys", "M")])
def test_a_sex_may_be_a_word_as_in_tables(word, letter):
    assert predict.parse_args(["film.png", "--sex", word]).sex == letter


def test_a_number_is_finite(refusal):
    assert "inf is not allowed: must be finite" in refusal(
        train_advanced_streamlined, "--gradient_clip_norm", "inf"
    )


def test_a_canvas_has_a_largest_size(refusal):
    assert "200000 is too large: 4096 or less" in refusal(
        train_advanced_streamlined, "--img_size", "200000"
    )


@pytest.mark.parametrize(
    "words", [["--bn", "auto"], ["--strategy", "none", "--feature_views", "3"]]
)
def test_a_default_that_is_typed_does_no_harm(words):
    train_advanced_streamlined.parse_args(words)
