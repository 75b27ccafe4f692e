"""The table of backbones and model types; it imports nothing heavy, so that `--help` is quick."""

from typing import NamedTuple

from util.errors import UserError

POOLED = ("baseline", "sex")  # the head sees features of the whole film
ATTENTION = ("attn_sex", "attn_sex_improved")
MODEL_TYPES = (*POOLED, *ATTENTION)


class Backbone(NamedTuple):
    """`keras.applications.<builder>`, and the scaling that it expects of grey levels 0-255.

    `scaling` is "tf": to -1 .. 1; "caffe": minus ImageNet's BGR means; "torch":
    (x / 255 - mean) / SD; "none": unchanged, as the network does its own scaling.
    `keras.applications.<module>` holds the family's own `preprocess_input`. `min_size` is the
    smallest side, in pixels, that the network can be built with.
    """

    builder: str
    module: str
    scaling: str
    min_size: int = 32


BACKBONES = {
    "xception": Backbone("Xception", "xception", "tf", 71),
    "resnet50": Backbone("ResNet50", "resnet", "caffe"),
    "resnet101": Backbone("ResNet101", "resnet", "caffe"),
    "resnet152": Backbone("ResNet152", "resnet", "caffe"),
    "resnet50v2": Backbone("ResNet50V2", "resnet_v2", "tf"),
    "resnet101v2": Backbone("ResNet101V2", "resnet_v2", "tf"),
    "resnet152v2": Backbone("ResNet152V2", "resnet_v2", "tf"),
    "mobilenet": Backbone("MobileNet", "mobilenet", "tf"),
    "mobilenet_v2": Backbone("MobileNetV2", "mobilenet_v2", "tf"),
    "mobilenet_v3_small": Backbone("MobileNetV3Small", "mobilenet_v3", "none"),
    "mobilenet_v3_large": Backbone("MobileNetV3Large", "mobilenet_v3", "none"),
    "convnext_tiny": Backbone("ConvNeXtTiny", "convnext", "none"),
    "convnext_small": Backbone("ConvNeXtSmall", "convnext", "none"),
    "convnext_base": Backbone("ConvNeXtBase", "convnext", "none"),
    "convnext_large": Backbone("ConvNeXtLarge", "convnext", "none"),
    "convnext_xlarge": Backbone("ConvNeXtXLarge", "convnext", "none"),
    "densenet121": Backbone("DenseNet121", "densenet", "torch"),
    "densenet169": Backbone("DenseNet169", "densenet", "torch"),
    "densenet201": Backbone("DenseNet201", "densenet", "torch"),
    "efficientnet_b0": Backbone("EfficientNetB0", "efficientnet", "none"),
    "efficientnet_b1": Backbone("EfficientNetB1", "efficientnet", "none"),
    "efficientnet_b2": Backbone("EfficientNetB2", "efficientnet", "none"),
    "efficientnet_b3": Backbone("EfficientNetB3", "efficientnet", "none"),
    "efficientnet_b4": Backbone("EfficientNetB4", "efficientnet", "none"),
    "efficientnet_b5": Backbone("EfficientNetB5", "efficientnet", "none"),
    "efficientnet_b6": Backbone("EfficientNetB6", "efficientnet", "none"),
    "efficientnet_b7": Backbone("EfficientNetB7", "efficientnet", "none"),
    "efficientnet_v2_b0": Backbone("EfficientNetV2B0", "efficientnet_v2", "none"),
    "efficientnet_v2_b1": Backbone("EfficientNetV2B1", "efficientnet_v2", "none"),
    "efficientnet_v2_b2": Backbone("EfficientNetV2B2", "efficientnet_v2", "none"),
    "efficientnet_v2_b3": Backbone("EfficientNetV2B3", "efficientnet_v2", "none"),
    "efficientnet_v2_s": Backbone("EfficientNetV2S", "efficientnet_v2", "none"),
    "efficientnet_v2_m": Backbone("EfficientNetV2M", "efficientnet_v2", "none"),
    "efficientnet_v2_l": Backbone("EfficientNetV2L", "efficientnet_v2", "none"),
    "inception_v3": Backbone("InceptionV3", "inception_v3", "tf", 75),
    "inception_resnet_v2": Backbone("InceptionResNetV2", "inception_resnet_v2", "tf", 75),
    "nasnet_mobile": Backbone("NASNetMobile", "nasnet", "tf"),
    "nasnet_large": Backbone("NASNetLarge", "nasnet", "tf"),
    "vgg16": Backbone("VGG16", "vgg16", "caffe"),
    "vgg19": Backbone("VGG19", "vgg19", "caffe"),
}

# the backbones of earlier versions, up to convnext_large: insert new ones only after them
FIRST_FIFTEEN = list(BACKBONES)[:15]


def sees_sex(model_type):
    """Whether models of a type get the sex as well as the film."""
    return model_type != "baseline"


def check_backbone(name, img_size):
    """Raise UserError if a name is not in the table, or if films are too small for the network."""
    if name not in BACKBONES:
        raise UserError(f"unknown backbone (--backbone {name}). Known: {', '.join(BACKBONES)}.")
    if img_size < BACKBONES[name].min_size:
        raise UserError(
            f"films too small for {name} (--img_size {img_size}). "
            f"Use {BACKBONES[name].min_size} or more."
        )
