"""A training script as in tutorials, which `training_speed` compares with: `compile` and `fit` of
Keras on batches of ImageDataGenerator, with the defaults of both and nothing of this toolkit.

It runs in a process of its own, as TensorFlow's settings are fixed when it is imported. The first
line of its input is the job as JSON; each further line asks for a turn. It answers each with a line
when it is done.
"""

import json
import sys

CHANGES = {  # what earlier versions of the toolkit asked of ImageDataGenerator
    "rotation_range": 20,
    "width_shift_range": 0.2,
    "height_shift_range": 0.2,
    "shear_range": 0.2,
    "zoom_range": 0.2,
    "horizontal_flip": True,
    "fill_mode": "nearest",
}


def keras_generator(paths, ages, size, batch_size, color_mode="rgb"):
    """Return batches of films, in three channels by default: decoded, changed and scaled in every
    epoch."""
    import pandas as pd
    import tensorflow as tf

    generator = tf.keras.preprocessing.image.ImageDataGenerator(rescale=1 / 255, **CHANGES)
    return generator.flow_from_dataframe(
        pd.DataFrame({"filename": paths, "boneage": ages}),
        x_col="filename",
        y_col="boneage",
        target_size=(size, size),
        color_mode=color_mode,
        batch_size=batch_size,
        class_mode="raw",
        seed=42,
    )


def textbook_model(builder, size):
    """Build a compiled model: a backbone without weights, mean over positions, a dense head."""
    import keras
    from keras import layers

    backbone = getattr(keras.applications, builder)(
        include_top=False, weights=None, input_shape=(size, size, 3)
    )
    x = layers.GlobalAveragePooling2D()(backbone.output)
    x = layers.Dropout(0.3)(layers.Dense(500, "relu")(x))
    model = keras.Model(backbone.input, layers.Dense(1)(x))
    model.compile("adam", "mae")
    return model


def main():
    job, answers = json.loads(sys.stdin.readline()), sys.stdout
    sys.stdout = sys.stderr  # Keras prints there; stdout is for answers
    model = textbook_model(job["builder"], job["size"])
    batches = keras_generator(job["paths"], job["ages"], job["size"], job["batch_size"])
    print("done", file=answers, flush=True)
    for _ in sys.stdin:
        model.fit(batches, steps_per_epoch=job["steps"], verbose=0)
        print("done", file=answers, flush=True)


if __name__ == "__main__":
    main()
