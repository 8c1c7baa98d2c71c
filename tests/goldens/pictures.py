#!/usr/bin/env python3
"""Writes pictures/ and pictures.safetensors: small picture files of many kinds, and the results of OpenCV's imread.

    python3 -m venv venv && venv/bin/pip install numpy==2.4.6 safetensors==0.8.0 pillow==13.0.0 \\
        opencv-python-headless==5.0.0.93 && venv/bin/python pictures.py

Each tensor has the name of its file, H x W x 3, uint8, red first. OpenCV and Pillow include libjpeg-turbo, libwebp,
libtiff and libpng. OpenCV cannot read TIFF files that are rotated by a quarter turn, so their values are Pillow's.
"""

import io
import shutil
import struct
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps
from safetensors.numpy import save_file

HERE = Path(__file__).parent
OUT = HERE / "pictures"
RANDOM = np.random.default_rng(0)


def scene(width, height):
    """Coloured noise with strong low frequencies, like photographs, as floats from 0 to 255."""
    y, x = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    weight = 1 / np.maximum(np.hypot(x, y), 1 / max(width, height)) ** 0.9
    planes = [np.fft.ifft2(np.fft.fft2(RANDOM.standard_normal((height, width))) * weight).real for _ in range(3)]
    planes = [128 + 55 * (plane - plane.mean()) / (plane.std() + 1e-9) for plane in planes]
    return np.stack(planes, -1).clip(0, 255)


def eight(width, height):
    return scene(width, height).astype(np.uint8)


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def jpegs():
    samplings = {
        "444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        "422": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
        "420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
        "440": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
        "411": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
    }
    for sampling, value in samplings.items():
        for coding, options in {
            "baseline": [cv2.IMWRITE_JPEG_QUALITY, 90],
            "progressive": [cv2.IMWRITE_JPEG_QUALITY, 75, cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
            "restarts": [cv2.IMWRITE_JPEG_QUALITY, 60, cv2.IMWRITE_JPEG_RST_INTERVAL, 2],
        }.items():
            picture = eight(33, 21)
            options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, value, *options]
            cv2.imwrite(str(OUT / f"{sampling}_{coding}.jpg"), picture, options)
        for width, height in ((1, 1), (2, 2), (5, 3), (3, 5), (17, 16)):
            picture = eight(width, height)
            options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, value, cv2.IMWRITE_JPEG_QUALITY, 90]
            cv2.imwrite(str(OUT / f"{sampling}_{width}x{height}.jpg"), picture, options)
    for coding in ("baseline", "progressive"):
        picture = Image.fromarray(eight(33, 21))
        options = {"quality": 90, "progressive": coding == "progressive"}
        picture.convert("L").save(OUT / f"grey_{coding}.jpg", **options)
        picture.convert("CMYK").save(OUT / f"cmyk_{coding}.jpg", **options)
    Image.fromarray(eight(33, 21)).save(OUT / "rgb.jpg", quality=90, keep_rgb=True)
    (OUT / "ycck.jpg").write_bytes(ycck(eight(33, 21)))
    for orientation in range(1, 9):
        Image.fromarray(eight(21, 13)).save(OUT / f"exif{orientation}.jpg", quality=90, exif=exif(orientation))
    (OUT / "scans.jpg").write_bytes(one_scan_each(eight(33, 21)))
    # The last scan is removed: libjpeg smooths what that scan would have refined.
    progressive = (OUT / "420_progressive.jpg").read_bytes()
    (OUT / "unrefined.jpg").write_bytes(progressive[: progressive.rfind(b"\xff\xda")] + b"\xff\xd9")


def jpeg_bytes(picture, **options):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def ycck(rgb):
    """Four components, Y Cb Cr K: Pillow's CMYK, with the Adobe marker changed to match."""
    negative = np.asarray(Image.fromarray(255 - rgb).convert("YCbCr"))
    stored = np.dstack([negative, np.full(negative.shape[:2], 200, np.uint8)])
    data = bytearray(jpeg_bytes(Image.fromarray(255 - stored, "CMYK"), quality=95))
    at = data.find(b"\xff\xee")
    assert data[at + 4 : at + 9] == b"Adobe" and data[at + 15] == 0
    data[at + 15] = 2
    return bytes(data)


def one_scan_each(ycc):
    """A baseline file with a scan for each component, made of three grey files with the same tables."""
    files = [jpeg_bytes(Image.fromarray(np.ascontiguousarray(ycc[..., c])), quality=90) for c in range(3)]
    frame, scan = files[0].find(b"\xff\xc0"), files[0].find(b"\xff\xda")
    after = frame + 2 + struct.unpack(">H", files[0][frame + 2 : frame + 4])[0]
    components = b"".join(bytes([name, 0x11, 0]) for name in (1, 2, 3))
    header = b"\xff\xc0" + struct.pack(">H", 17) + files[0][frame + 4 : frame + 9] + b"\x03" + components
    scans = b""
    for name, data in enumerate(files, 1):
        start = data.find(b"\xff\xda")
        assert data[:start] == files[0][:scan] and data[start + 4] == 1
        scans += data[start : start + 5] + bytes([name]) + data[start + 6 : -2]
    return files[0][:frame] + header + files[0][after:scan] + scans + b"\xff\xd9"


def sixteen(picture):
    """The picture with 16 bits a sample, where the lower byte is noise."""
    return (picture * 256 + RANDOM.integers(0, 256, picture.shape)).clip(0, 65535).astype(np.uint16)


def others():
    def save(name, picture, **options):
        picture.save(OUT / name, **options)

    rgb = Image.fromarray(eight(21, 13))
    grey, palette, bilevel = rgb.convert("L"), rgb.quantize(16), rgb.convert("1")
    alpha = Image.fromarray(np.dstack([np.asarray(rgb), eight(21, 13)[..., 0]]))
    large = scene(21, 13)

    for name, picture in {"rgb": rgb, "grey": grey, "palette": palette, "bilevel": bilevel, "alpha": alpha}.items():
        save(f"{name}.png", picture)
    save("grey_alpha.png", alpha.convert("LA"))
    save("palette_alpha.png", palette, transparency=bytes(range(0, 256, 16)))
    save("exif6.png", rgb, exif=exif(6))
    for name, values in {"rgb16": large, "grey16": large[..., 0], "alpha16": np.dstack([large, large[..., 0]])}.items():
        cv2.imwrite(str(OUT / f"{name}.png"), sixteen(values))

    for quality in (40, 90):
        save(f"lossy{quality}.webp", Image.fromarray(eight(33, 21)), quality=quality)
    save("lossless.webp", rgb, lossless=True)
    save("alpha.webp", alpha, quality=80)
    save("lossless_alpha.webp", alpha, lossless=True, exact=True)
    save("exif8.webp", rgb, lossless=True, exif=exif(8))
    save("animated.webp", rgb, save_all=True, append_images=[ImageOps.invert(rgb)], lossless=True)

    for name, picture in {"rgb": rgb, "grey": grey, "palette": palette, "bilevel": bilevel, "alpha": alpha}.items():
        save(f"{name}.bmp", picture)

    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        save(f"rgb_{(compression or 'plain').removeprefix('tiff_')}.tif", rgb, compression=compression)
    save("group4.tif", bilevel, compression="group4")
    for name, picture in {"grey": grey, "bilevel": bilevel, "cmyk": rgb.convert("CMYK")}.items():
        save(f"{name}.tif", picture)
    save("pages.tif", rgb, save_all=True, append_images=[ImageOps.invert(rgb)])
    for orientation in range(2, 9):
        save(f"turned{orientation}.tif", rgb, tiffinfo={274: orientation})
    for name, values in {"rgb16": large, "grey16": large[..., 0]}.items():
        cv2.imwrite(str(OUT / f"{name}.tif"), sixteen(values))


def read(path):
    if path.name.startswith("turned") and path.stem[-1] in "5678":
        with Image.open(path) as picture:
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    return cv2.imread(str(path))[..., ::-1]


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    jpegs()
    others()
    values = {path.name: np.ascontiguousarray(read(path)) for path in sorted(OUT.iterdir())}
    save_file(values, HERE / "pictures.safetensors")
