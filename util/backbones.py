"""The table of backbones and model types; it imports nothing heavy, so that `--help` is quick."""

from typing import NamedTuple

from util.errors import UserError

# the head sees pooled features of the whole film, which `pooled_head` can be trained on alone
POOLED = ("baseline", "sex")
ATTENTION = ("attn_sex", "attn_sex_improved")
MODEL_TYPES = (*POOLED, *ATTENTION)


class Backbone(NamedTuple):
    """`keras.applications.<builder>`, and the scaling that it expects of grey levels 0-255.

    `scaling` is "tf": to -1 .. 1; "caffe": minus ImageNet's BGR means; "torch":
    (x / 255 - mean) / SD; "none": unchanged, as the network does its own scaling; "efficientnet":
    see `input_scaling`. `min_size` is the smallest side, in pixels, that the network can be built
    with.
    """

    builder: str
    scaling: str
    min_size: int = 32


BACKBONES = {
    "xception": Backbone("Xception", "tf", 71),
    "resnet50": Backbone("ResNet50", "caffe"),
    "resnet101": Backbone("ResNet101", "caffe"),
    "resnet152": Backbone("ResNet152", "caffe"),
    "resnet50v2": Backbone("ResNet50V2", "tf"),
    "resnet101v2": Backbone("ResNet101V2", "tf"),
    "resnet152v2": Backbone("ResNet152V2", "tf"),
    "mobilenet": Backbone("MobileNet", "tf"),
    "mobilenet_v2": Backbone("MobileNetV2", "tf"),
    "mobilenet_v3_small": Backbone("MobileNetV3Small", "none"),
    "mobilenet_v3_large": Backbone("MobileNetV3Large", "none"),
    "convnext_tiny": Backbone("ConvNeXtTiny", "none"),
    "convnext_small": Backbone("ConvNeXtSmall", "none"),
    "convnext_base": Backbone("ConvNeXtBase", "none"),
    "convnext_large": Backbone("ConvNeXtLarge", "none"),
    "convnext_xlarge": Backbone("ConvNeXtXLarge", "none"),
    "densenet121": Backbone("DenseNet121", "torch"),
    "densenet169": Backbone("DenseNet169", "torch"),
    "densenet201": Backbone("DenseNet201", "torch"),
    "efficientnet_b0": Backbone("EfficientNetB0", "efficientnet"),
    "efficientnet_b1": Backbone("EfficientNetB1", "efficientnet"),
    "efficientnet_b2": Backbone("EfficientNetB2", "efficientnet"),
    "efficientnet_b3": Backbone("EfficientNetB3", "efficientnet"),
    "efficientnet_b4": Backbone("EfficientNetB4", "efficientnet"),
    "efficientnet_b5": Backbone("EfficientNetB5", "efficientnet"),
    "efficientnet_b6": Backbone("EfficientNetB6", "efficientnet"),
    "efficientnet_b7": Backbone("EfficientNetB7", "efficientnet"),
    "efficientnet_v2_b0": Backbone("EfficientNetV2B0", "none"),
    "efficientnet_v2_b1": Backbone("EfficientNetV2B1", "none"),
    "efficientnet_v2_b2": Backbone("EfficientNetV2B2", "none"),
    "efficientnet_v2_b3": Backbone("EfficientNetV2B3", "none"),
    "efficientnet_v2_s": Backbone("EfficientNetV2S", "none"),
    "efficientnet_v2_m": Backbone("EfficientNetV2M", "none"),
    "efficientnet_v2_l": Backbone("EfficientNetV2L", "none"),
    "inception_v3": Backbone("InceptionV3", "tf", 75),
    "inception_resnet_v2": Backbone("InceptionResNetV2", "tf", 75),
    "nasnet_mobile": Backbone("NASNetMobile", "tf"),
    "nasnet_large": Backbone("NASNetLarge", "tf"),
    "vgg16": Backbone("VGG16", "caffe"),
    "vgg19": Backbone("VGG19", "caffe"),
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
