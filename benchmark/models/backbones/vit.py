"""ViT on the images of a clip (Dosovitskiy et al., ICLR 2021), as the DA paper adapts ViT-B/16 to video (Section 3.3).

Every image goes through the transformer on its own: tokens of different images never attend to each other. The feature
of an image is the mean of the last layer's whole sequence of embeddings, in place of the class token's.

Blocks, names and keys are timm's `vit_base_patch16_224`.

Cost of 8 images of 224 x 224: 134.78 GMACs of convolutions and linear layers with 174 classes, and 5.72 of attention's
two products, which counters do not see where attention is one fused operator. The paper's 269 GFLOPs are two per
multiply-accumulate without those products.
"""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.models.weights import load_state, missing, weights_path, with_input_channels

DIM, HEADS, HEAD_DIM = 768, 12, 64
MIN_HEADS = 3
IN21K_PATCH, IN21K_DEPTH = 16, 12
IN21K_FILE = "jx_vit_base_patch16_224_in21k-e5005f0a.pth"


def embedding_size(width: float) -> tuple[int, int]:
    """(channels of a token, attention heads) at a width: (768, 12) at 1, (96, 3) at 1/8."""
    # A head of 64 channels where that fits, so that 1/2 is ViT-S and 1/4 ViT-Ti.
    heads = max(MIN_HEADS, round(HEADS * width))
    head_dim = max(8, round(DIM * width / heads / 8) * 8)
    return heads * head_dim, heads


class Vit(nn.Module):
    """ViT without a classifier.

    Args:
        width: Multiplier of the embedding's size, see `embedding_size`; 1 is ViT-B.
        patch_size: Side of a patch, pixels.
        depth: Transformer blocks.
        image_size: Side of the images that the position embedding is made for, pixels; others may be given.
        segments: Segments of a clip. Read with `shared_position=False` only: the number of position embeddings.
        pretrained: "imagenet21k" loads timm's weights (ViT-B/16 only), see `load_imagenet21k`.
        in_channels: Channels of the input; pretrained weights of the patch embedding are averaged over theirs.
        shared_position: One position embedding for all segments, or a trainable copy for each.

    Attributes:
        out_channels: Channels of a token, and of the pooled feature.
        pos_embed: (1 or segments, 1 + patches, out_channels), the class token's first.

    Raises:
        ValueError: An image smaller than a patch, or pretrained weights for another network than ViT-B/16.
        PretrainedWeightsError: Their file is not there.
    """

    def __init__(
        self,
        width: float = 1.0,
        patch_size: int = 16,
        depth: int = 12,
        image_size: int = 224,
        segments: int = 8,
        pretrained: str | None = None,
        in_channels: int = 3,
        shared_position: bool = True,
    ) -> None:
        super().__init__()
        if pretrained and (width, patch_size, depth) != (1.0, IN21K_PATCH, IN21K_DEPTH):
            raise ValueError(
                "pretrained weights exist for ViT-B/16 (width 1.0, patch_size 16, depth 12) only,"
                f" got width {width}, patch_size {patch_size}, depth {depth}"
            )
        if image_size < patch_size:
            raise ValueError(f"images of {image_size} pixels are smaller than a patch of {patch_size}")
        self.grid = image_size // patch_size
        dim, heads = embedding_size(width)
        # No dropout and no stochastic depth: the paper trains ViT without.
        built = VisionTransformer(
            img_size=image_size,
            patch_size=patch_size,
            in_chans=in_channels,
            num_classes=0,
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
        )
        assert isinstance(built.cls_token, nn.Parameter)
        assert isinstance(built.pos_embed, nn.Parameter)
        self.out_channels = dim
        self.patch_embed, self.blocks, self.norm = built.patch_embed, built.blocks, built.norm
        self.cls_token = built.cls_token
        # "We duplicate the positional embedding for each segment": one parameter for all segments. Copies of their own
        # for 8 segments would add 1.06 million parameters; the paper prints 86.3M, and one embedding gives 85.93M with
        # 174 classes (86.39M without a classifier but with the 768 x 768 `pre_logits` layer of the published
        # ImageNet-21k checkpoint, which is not part of the network here: [inferred] what was printed). One embedding
        # also loads by key and leaves the number of segments free at evaluation. On the other hand, identical copies
        # tell nothing about time, which the sentence gives as their purpose: trainable ones are all equal at first.
        copies = 1 if shared_position else segments
        self.pos_embed = nn.Parameter(built.pos_embed.detach().repeat(copies, 1, 1))
        if pretrained == "imagenet21k":
            load_imagenet21k(self)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B * frames, C_in, H, W) to the last layer's embeddings, (B * frames, 1 + patches, out_channels)."""
        # The projection alone: timm's module around it refuses other sizes than its own.
        patches = self.patch_embed.proj(x)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), patches.flatten(2).transpose(1, 2)], 1)
        position = resized_position(self.pos_embed, self.grid, (patches.shape[-2], patches.shape[-1]))
        if len(position) > 1:
            if frames % len(position):
                raise ValueError(f"{frames} images a clip do not divide into {len(position)} segments")
            position = position.repeat_interleave(frames // len(position), 0).repeat(len(x) // frames, 1, 1)
        return self.norm(self.blocks(tokens + position))

    def features(self, x: Tensor, frames: int) -> Tensor:
        """(B * frames, C_in, H, W) to pooled features, (B, frames, out_channels).

        Raises:
            ValueError: With a position embedding for each segment: `frames` is not a multiple of the segments.
        """
        # "The entire sequence" has the class token in it, after the final LayerNorm. It also makes the cost fit: 197
        # tokens.
        return self(x, frames).mean(1).unflatten(0, (-1, frames))


def resized_position(position: Tensor, grid: int, wanted: tuple[int, int]) -> Tensor:
    """A position embedding for another grid of patches.

    Args:
        position: (S, 1 + grid^2, C), the class token's first; that one is kept.
        grid: Patches along a side.
        wanted: Rows and columns of the grid that it is wanted for.

    Returns:
        (S, 1 + rows * columns, C), in the data type of `position`.
    """
    if wanted == (grid, grid):
        return position
    class_token, patches = position[:, :1], position[:, 1:]
    # As timm does. Bicubic resampling has no bfloat16 kernel on every device.
    maps = patches.float().transpose(1, 2).unflatten(2, (grid, grid))
    maps = F.interpolate(maps, size=wanted, mode="bicubic", antialias=True)
    return torch.cat([class_token, maps.flatten(2).transpose(1, 2).to(position.dtype)], 1)


def load_imagenet21k(backbone: Vit) -> None:
    """Load timm's conversion of the original ImageNet-21k weights, without their classifier, into a ViT-B/16.

    The weights were trained on RGB in [-1, 1]; nothing here compensates for frames that are normalised by ImageNet's
    mean and deviation. The file is looked for in the folder that BENCHMARK_WEIGHTS names (default `weights`); nothing
    is fetched. The position embedding is resized to the backbone's grid.

    Raises:
        PretrainedWeightsError: The file is not there; the message says what to put where.
    """
    path = weights_path(IN21K_FILE)
    if not path.is_file():
        origin = "pytorch-image-models, release v0.1-vitjx on GitHub, or pytorch_model.bin of"
        raise missing("ImageNet-21k weights of ViT-B/16", path, f"{origin} timm/vit_base_patch16_224.orig_in21k")
    state = load_state(path)
    state = {key: value for key, value in state.items() if not key.startswith(("head.", "pre_logits."))}
    projection = "patch_embed.proj.weight"
    state[projection] = with_input_channels(state[projection], backbone.patch_embed.proj.in_channels)
    grid = round((state["pos_embed"].shape[1] - 1) ** 0.5)
    position = resized_position(state["pos_embed"], grid, (backbone.grid, backbone.grid))
    state["pos_embed"] = position.expand(len(backbone.pos_embed), -1, -1)
    backbone.load_state_dict(state)
