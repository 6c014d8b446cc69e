"""Public networks written out with torch's own layers, in the order in which their codes number them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def instance(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels)


def shake(net: nn.Module) -> nn.Module:
    """Weights, biases and running statistics that no layer could lack unnoticed."""
    torch.manual_seed(1)
    for parameter in net.parameters():
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 10
        nn.init.normal_(parameter, std=fan_in**-0.5)
    for name, buffer in net.named_buffers():
        if name.endswith("running_mean"):
            nn.init.normal_(buffer)
        elif name.endswith("running_var"):
            nn.init.uniform_(buffer, 0.5, 2)
    return net.eval()


class Sum(nn.Module):
    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for part in self.children():
            y = part(y)
        return x + y


class LowPass(nn.Module):
    """CUT's layers, as convolutions with explicit loops over the taps."""

    def __init__(self, taps: list[float], channels: int) -> None:
        super().__init__()
        line = torch.tensor(taps)
        plane = line[:, None] * line[None, :]
        plane = plane / plane.sum() * (4 if len(taps) == 4 else 1)
        self.register_buffer("filt", plane[None, None].repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.filt.shape[-1] == 3:
            return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=x.shape[1])
        y = F.conv_transpose2d(
            F.pad(x, (1, 1, 1, 1), mode="replicate"), self.filt, stride=2, padding=2, groups=x.shape[1]
        )
        return y[:, :, 1:-1, 1:-1]


def resnet(
    channels_in: int,
    channels_out: int,
    width: int,
    blocks: int,
    norm: Callable[[int], nn.Module] = instance,
    *,
    dropout: bool = False,
    lowpass: bool = False,
) -> nn.Module:
    bias = norm is instance

    def conv(before: int, after: int, side: int, stride: int = 1, padding: int = 0) -> nn.Module:
        return nn.Conv2d(before, after, side, stride, padding, bias=bias)

    layers = [nn.ReflectionPad2d(3), conv(channels_in, width, 7), norm(width), nn.ReLU()]
    for wide in (width, width * 2):
        if lowpass:
            layers += [conv(wide, wide * 2, 3, 1, 1), norm(wide * 2), nn.ReLU(), LowPass([1, 2, 1], wide * 2)]
        else:
            layers += [conv(wide, wide * 2, 3, 2, 1), norm(wide * 2), nn.ReLU()]
    wide = width * 4
    for _ in range(blocks):
        first = [nn.ReflectionPad2d(1), conv(wide, wide, 3), norm(wide), nn.ReLU()]
        middle = [nn.Dropout(0.5)] if dropout else []
        layers.append(
            Sum(conv_block=nn.Sequential(*first, *middle, nn.ReflectionPad2d(1), conv(wide, wide, 3), norm(wide)))
        )
    for wide in (width * 4, width * 2):
        if lowpass:
            layers += [LowPass([1, 3, 3, 1], wide), conv(wide, wide // 2, 3, 1, 1)]
        else:
            layers += [nn.ConvTranspose2d(wide, wide // 2, 3, 2, 1, output_padding=1, bias=bias)]
        layers += [norm(wide // 2), nn.ReLU()]
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, channels_out, 7), nn.Tanh()]
    return shake(nn.Sequential(nn.Sequential(*layers)))


class Skip(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.model(x)], 1)


class Outermost(Skip):
    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def unet(
    channels_in: int,
    channels_out: int,
    depth: int,
    width: int,
    norm: Callable[[int], nn.Module],
    *,
    dropout: bool = False,
) -> nn.Module:
    bias = norm is instance
    widths = [width * min(8, 2**level) for level in range(depth)]

    def down(level: int) -> nn.Module:
        return nn.Conv2d(widths[level - 1] if level else channels_in, widths[level], 4, 2, 1, bias=bias)

    inner: nn.Module = Skip(
        *(nn.LeakyReLU(0.2), down(depth - 1)),
        *(nn.ReLU(), nn.ConvTranspose2d(widths[-1], widths[-2], 4, 2, 1, bias=bias), norm(widths[-2])),
    )
    for level in range(depth - 2, 0, -1):
        up = nn.ConvTranspose2d(2 * widths[level], widths[level - 1], 4, 2, 1, bias=bias)
        last = [nn.Dropout(0.5)] if dropout and level > 3 else []
        inner = Skip(
            *(nn.LeakyReLU(0.2), down(level), norm(widths[level]), inner),
            *(nn.ReLU(), up, norm(widths[level - 1]), *last),
        )
    up = nn.ConvTranspose2d(2 * widths[0], channels_out, 4, 2, 1)
    return shake(nn.Sequential(Outermost(down(0), inner, nn.ReLU(), up, nn.Tanh())))


class Dense(nn.Module):
    def __init__(self, width: int, growth: int, *, wrapped: bool) -> None:
        super().__init__()
        self.wrapped = wrapped
        for number in range(1, 6):
            conv = nn.Conv2d(width + (number - 1) * growth, growth if number < 5 else width, 3, 1, 1)
            self.add_module(f"conv{number}", nn.Sequential(conv) if wrapped else conv)

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for number in range(1, 5):
            seen.append(F.leaky_relu(self.get_submodule(f"conv{number}")(torch.cat(seen, 1)), 0.2))
        return self.get_submodule("conv5")(torch.cat(seen, 1)) * 0.2 + x


class Rrdb(nn.Module):
    def __init__(self, width: int, growth: int, names: str, *, wrapped: bool) -> None:
        super().__init__()
        for number in range(1, 4):
            self.add_module(f"{names}{number}", Dense(width, growth, wrapped=wrapped))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for part in self.children():
            y = part(y)
        return y * 0.2 + x


class Rrdbnet(nn.Module):
    """``dialect``: old (one Sequential), new (RRDB_trunk) or basicsr (body). 0 to 1 on both sides."""

    def __init__(
        self, dialect: str, channels: int, width: int, blocks: int, growth: int, ups: int, shuffle: int
    ) -> None:
        super().__init__()
        self.shuffle, self.dialect, self.ups = shuffle, dialect, ups
        first = nn.Conv2d(channels * shuffle**2, width, 3, 1, 1)
        rdb = "rdb" if dialect == "basicsr" else "RDB"
        trunk = [Rrdb(width, growth, rdb, wrapped=dialect == "old") for _ in range(blocks)]

        def conv(after: int = width) -> nn.Module:
            return nn.Conv2d(width, after, 3, 1, 1)

        if dialect == "old":
            body = nn.Module()
            body.sub = nn.Sequential(*trunk, conv())
            body.forward = lambda x: x + body.sub(x)  # type: ignore[method-assign]
            layers = [first, body]
            for _ in range(ups):
                layers += [nn.Upsample(scale_factor=2), conv(), nn.LeakyReLU(0.2)]
            self.model = nn.Sequential(*layers, conv(), nn.LeakyReLU(0.2), conv(channels))
        else:
            new = dialect == "new"
            self.conv_first = first
            self.add_module("RRDB_trunk" if new else "body", nn.Sequential(*trunk))
            self.add_module("trunk_conv" if new else "conv_body", conv())
            for number in range(1, ups + 1):
                self.add_module(f"upconv{number}" if new else f"conv_up{number}", conv())
            self.add_module("HRconv" if new else "conv_hr", conv())
            self.conv_last = conv(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pixel_unshuffle(x, self.shuffle)
        if self.dialect == "old":
            return self.model(x)
        parts = list(self.children())
        first = parts[0](x)
        y = first + parts[2](parts[1](first))
        for up in parts[3 : 3 + self.ups]:
            y = F.leaky_relu(up(F.interpolate(y, scale_factor=2)), 0.2)
        return parts[-1](F.leaky_relu(parts[-2](y), 0.2))


class Msrresnet(nn.Module):
    def __init__(self, scale: int, width: int, blocks: int, *, old: bool = False) -> None:
        super().__init__()
        self.scale = scale
        self.conv_first = nn.Conv2d(3, width, 3, 1, 1)

        def block() -> nn.Module:
            return Sum(conv1=nn.Conv2d(width, width, 3, 1, 1), relu=nn.ReLU(), conv2=nn.Conv2d(width, width, 3, 1, 1))

        self.add_module("recon_trunk" if old else "body", nn.Sequential(*(block() for _ in range(blocks))))
        for number in range(1, 3 if scale == 4 else 2):
            factor = 3 if scale == 3 else 2
            self.add_module(f"upconv{number}", nn.Conv2d(width, width * factor**2, 3, 1, 1))
        self.add_module("HRconv" if old else "conv_hr", nn.Conv2d(width, width, 3, 1, 1))
        self.conv_last = nn.Conv2d(width, 3, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, body, *ups, hr, last = self.children()
        y = body(F.leaky_relu(first(x), 0.1))
        for up in ups:
            y = F.leaky_relu(F.pixel_shuffle(up(y), 3 if self.scale == 3 else 2), 0.1)
        base = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return last(F.leaky_relu(hr(y), 0.1)) + base


class Leftthomas(nn.Module):
    """Its later version, with batch norm at the body's end, or the earlier one with PReLU there."""

    def __init__(self, width: int, stages: int, *, normed: bool) -> None:
        super().__init__()
        self.block1 = nn.Sequential(nn.Conv2d(3, width, 9, padding=4), nn.PReLU())

        def conv(after: int = width) -> nn.Module:
            return nn.Conv2d(width, after, 3, padding=1)

        for number in (2, 3):
            parts = {"conv1": conv(), "bn1": nn.BatchNorm2d(width), "prelu": nn.PReLU()}
            parts |= {"conv2": conv(), "bn2": nn.BatchNorm2d(width)}
            self.add_module(f"block{number}", Sum(**parts))
        self.block4 = nn.Sequential(conv(), nn.BatchNorm2d(width) if normed else nn.PReLU())
        head: list[nn.Module] = []
        for _ in range(stages):
            up = nn.Sequential()
            up.add_module("conv", conv(4 * width))
            up.add_module("shuffle", nn.PixelShuffle(2))
            up.add_module("prelu", nn.PReLU())
            head.append(up)
        self.block5 = nn.Sequential(*head, nn.Conv2d(width, 3, 9, padding=4))

    def forward(self, x: Tensor) -> Tensor:
        first = self.block1(x)
        y = self.block4(self.block3(self.block2(first)))
        return (torch.tanh(self.block5(first + y)) + 1) / 2


class Lornatang(nn.Module):
    def __init__(self, width: int, stages: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(3, width, 9, padding=4), nn.PReLU())

        def conv(after: int = width, bias: bool = False) -> nn.Module:
            return nn.Conv2d(width, after, 3, padding=1, bias=bias)

        def block() -> nn.Module:
            layers = [conv(), nn.BatchNorm2d(width), nn.PReLU(), conv(), nn.BatchNorm2d(width)]
            return Sum(rcb=nn.Sequential(*layers))

        def up() -> nn.Module:
            stage = nn.Sequential()
            stage.add_module("upsample_block", nn.Sequential(conv(4 * width, True), nn.PixelShuffle(2), nn.PReLU()))
            return stage

        self.trunk = nn.Sequential(*(block() for _ in range(2)))
        self.conv2 = nn.Sequential(conv(), nn.BatchNorm2d(width))
        self.upsampling = nn.Sequential(*(up() for _ in range(stages)))
        self.conv3 = nn.Conv2d(width, 3, 9, padding=4)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv1(x)
        return self.conv3(self.upsampling(first + self.conv2(self.trunk(first))))


def keras(latent: int, width: int, channels: int) -> nn.Module:
    """The generator of Keras' tutorial on digits, of torch's layers in two sequences."""
    norm = {"momentum": 0.01, "eps": 1e-3}
    units, up = 49 * 4 * width, {"padding": 2, "bias": False}
    net = nn.Module()
    net.fc = nn.Sequential(nn.Linear(latent, units, bias=False), nn.BatchNorm1d(units, **norm), nn.LeakyReLU(0.3))
    net.deconv = nn.Sequential(
        *(nn.ConvTranspose2d(4 * width, 2 * width, 5, 1, **up), nn.BatchNorm2d(2 * width, **norm), nn.LeakyReLU(0.3)),
        *(nn.ConvTranspose2d(2 * width, width, 5, 2, output_padding=1, **up), nn.BatchNorm2d(width, **norm)),
        *(nn.LeakyReLU(0.3), nn.ConvTranspose2d(width, channels, 5, 2, output_padding=1, **up), nn.Tanh()),
    )
    net.forward = lambda z: net.deconv(net.fc(z).view(len(z), 4 * width, 7, 7))  # type: ignore[method-assign]
    return shake(net)


def dcgan(latent: int, width: int, channels: int, count: int = 5) -> nn.Module:
    widths = [width * 2**power for power in range(count - 2, -1, -1)]
    layers = [nn.ConvTranspose2d(latent, widths[0], 4, 1, 0, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    for before, after in pairwise(widths):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    net = nn.Module()
    net.main = nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh())
    net.forward = lambda z: net.main(z[:, :, None, None])  # type: ignore[method-assign]
    return shake(net)


class Equalised(nn.Module):
    """A layer of PyTorch GAN Zoo: all that comes out is scaled, biases too."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x) * (2 / self.module.weight[0].numel()) ** 0.5


class Pgan(nn.Module):
    """PyTorch GAN Zoo's generator, grown to the last of its ``widths``."""

    def __init__(self, latent: int, widths: list[int], channels: int) -> None:
        super().__init__()

        def conv(before: int, after: int, kernel: int = 3) -> nn.Module:
            return Equalised(nn.Conv2d(before, after, kernel, padding=kernel // 2))

        self.formatLayer = Equalised(nn.Linear(latent, 16 * widths[0]))
        self.groupScale0 = nn.ModuleList([conv(widths[0], widths[0])])
        self.scaleLayers = nn.ModuleList(nn.ModuleList([conv(a, b), conv(b, b)]) for a, b in pairwise(widths))
        self.toRGBLayers = nn.ModuleList(conv(width, channels, 1) for width in widths)

    def forward(self, z: Tensor) -> Tensor:
        def normed(x: Tensor) -> Tensor:
            return x / (x.pow(2).mean(1, keepdim=True) + 1e-8).sqrt()

        x = normed(F.leaky_relu(self.formatLayer(normed(z)), 0.2).reshape(len(z), -1, 4, 4))
        x = normed(F.leaky_relu(self.groupScale0[0](x), 0.2))
        for group in self.scaleLayers:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            for layer in group:
                x = normed(F.leaky_relu(layer(x), 0.2))
        return self.toRGBLayers[-1](x)


def pgan(latent: int, widths: list[int], channels: int) -> nn.Module:
    net = Pgan(latent, widths, channels)
    torch.manual_seed(1)
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    return net


class Compact(nn.Module):
    """SRVGGNetCompact: a list of layers, the last of which is shuffled and added to the nearest enlargement."""

    def __init__(self, channels: int, width: int, convolutions: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.body = nn.ModuleList([nn.Conv2d(channels, width, 3, 1, 1), nn.PReLU(num_parameters=width)])
        for _ in range(convolutions):
            self.body.extend([nn.Conv2d(width, width, 3, 1, 1), nn.PReLU(num_parameters=width)])
        self.body.append(nn.Conv2d(width, channels * scale * scale, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        detail = x
        for layer in self.body:
            detail = layer(detail)
        return nn.PixelShuffle(self.scale)(detail) + x.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)


class StyleGenerator(nn.Module):
    """StyleGAN2's generator from its paper, each picture's weights made by themselves; names as rosinality's code has.

    ``counts``: channels at 4 pixels, at 8 and so on.
    """

    def __init__(self, channels: int, latent: int, depth: int, counts: list[int]) -> None:
        super().__init__()
        self.depth, self.doublings = depth, len(counts) - 1
        plane = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 16
        tensors: dict[str, Tensor] = {"input.input": torch.randn(1, counts[0], 4, 4)}
        for k in range(1, depth + 1):
            tensors |= {f"style.{k}.weight": 100 * torch.randn(latent, latent), f"style.{k}.bias": torch.randn(latent)}

        def styled(name: str, a: int, b: int, kernel: int) -> None:
            tensors[f"{name}.conv.weight"] = torch.randn(1, b, a, kernel, kernel)
            tensors[f"{name}.conv.modulation.weight"] = torch.randn(a, latent)
            tensors[f"{name}.conv.modulation.bias"] = 1 + torch.randn(a) / 4

        self.layers = [("conv1", counts[0], counts[0])]
        for k, (a, b) in enumerate(pairwise(counts)):
            self.layers += [(f"convs.{2 * k}", a, b), (f"convs.{2 * k + 1}", b, b)]
            tensors[f"convs.{2 * k}.conv.blur.kernel"] = plane
            tensors[f"to_rgbs.{k}.upsample.kernel"] = plane
        for k, (name, a, b) in enumerate(self.layers):
            styled(name, a, b, 3)
            side = 4 * 2 ** ((k + 1) // 2)
            tensors |= {f"{name}.noise.weight": torch.randn(1), f"{name}.activate.bias": torch.randn(b)}
            tensors[f"noises.noise_{k}"] = torch.randn(1, 1, side, side)
        for name, count in zip(["to_rgb1", *(f"to_rgbs.{k}" for k in range(self.doublings))], counts, strict=True):
            styled(name, count, channels, 1)
            tensors[f"{name}.bias"] = torch.randn(1, channels, 1, 1)
        self.tensors = tensors

    def convolved(self, name: str, x: Tensor, w: Tensor, demodulate: bool, up: bool) -> Tensor:
        t, pictures = self.tensors, []
        weight = t[f"{name}.conv.weight"][0]
        style = w @ t[f"{name}.conv.modulation.weight"].T / w.shape[1] ** 0.5 + t[f"{name}.conv.modulation.bias"]
        for picture, scales in zip(x, style, strict=True):
            own = weight / weight[0].numel() ** 0.5 * scales[None, :, None, None]
            if demodulate:
                own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
            if up:
                large = F.pad(F.conv_transpose2d(picture[None], own.transpose(0, 1), stride=2), (1, 1, 1, 1))
                kernel = t[f"{name}.conv.blur.kernel"].repeat(len(own), 1, 1, 1)
                pictures.append(F.conv2d(large, kernel, groups=len(own)))
            else:
                pictures.append(F.conv2d(picture[None], own, padding=own.shape[2] // 2))
        return torch.cat(pictures)

    def forward(self, z: Tensor) -> Tensor:
        t = self.tensors
        w = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
        for k in range(1, self.depth + 1):
            linear = w @ t[f"style.{k}.weight"].T * 0.01 / w.shape[1] ** 0.5 + 0.01 * t[f"style.{k}.bias"]
            w = F.leaky_relu(linear, 0.2) * 2**0.5
        x, image = t["input.input"].repeat(len(z), 1, 1, 1), None
        for k, (name, _, _) in enumerate(self.layers):
            x = self.convolved(name, x, w, demodulate=True, up=bool(k % 2))
            x = x + t[f"{name}.noise.weight"] * t[f"noises.noise_{k}"] + t[f"{name}.activate.bias"][:, None, None]
            x = F.leaky_relu(x, 0.2) * 2**0.5
            if k % 2 == 0:
                head = f"to_rgbs.{k // 2 - 1}" if k else "to_rgb1"
                shown = self.convolved(head, x, w, demodulate=False, up=False) + t[f"{head}.bias"]
                image = shown if image is None else shown + self.doubled(image, t[f"{head}.upsample.kernel"])
        assert image is not None
        return image

    def doubled(self, x: Tensor, kernel: Tensor) -> Tensor:
        spread = torch.zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3], dtype=x.dtype)
        spread[:, :, ::2, ::2] = x
        return F.conv2d(F.pad(spread, (2, 1, 2, 1)), kernel.repeat(x.shape[1], 1, 1, 1), groups=x.shape[1])
