"""Run a script with three convolutions as the backbone "mobilenet", which are built, converted and
trained in no time: for tests in which the backbone is not the point.

    DEVICES=2 python tests/small_backbone.py train_advanced.py OPTIONS...

The processor counts as so many devices; one if nothing is said.
"""

import importlib
import os
import sys
from pathlib import Path


def three_convolutions(include_top, weights, input_shape):
    """A network in place of one of keras.applications."""
    import keras
    from keras import layers

    image = x = keras.Input(input_shape)
    for channels in (16, 64, 128):
        x = layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(image, x)


def main(script):
    from util.quiet import import_tensorflow

    import_tensorflow()
    import keras
    import tensorflow as tf

    processor = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration() for _ in range(int(os.getenv("DEVICES", 1)))]
    tf.config.set_logical_device_configuration(processor, devices)
    keras.applications.MobileNet = three_convolutions
    return importlib.import_module(Path(script).stem).main()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from util.errors import run_command

    run_command(lambda: main(sys.argv.pop(1)))
