"""Datasets that are rendered, loaded or sampled from a known distribution, splits and batches."""

from jaxgen.data._dequantise import dequantise
from jaxgen.data._digits import digits
from jaxgen.data._rendered_digits import render_digits
from jaxgen.data.captcha.files import load_captchas
from jaxgen.data.captcha.render import CaptchaStyle, render_captchas, render_texts
from jaxgen.data.captcha.texts import decode_texts, encode_texts, held_out_texts
from jaxgen.data.dataset import ImageDataset, to_float, to_uint8
from jaxgen.data.documentation import SYMBOLS, decode_symbols, documentation_text, encode_symbols, text_windows
from jaxgen.data.dsprites.files import load_dsprites
from jaxgen.data.dsprites.images import DSprites
from jaxgen.data.dsprites.lattice import DSPRITES_FACTORS, dsprites_factors, dsprites_index
from jaxgen.data.dsprites.render import render_dsprites
from jaxgen.data.palettes import binarise, fit_palette, from_palette, to_palette
from jaxgen.data.pipeline import Batches
from jaxgen.data.reading.load import load_images
from jaxgen.data.split import split_by_content, split_by_text
from jaxgen.data.sprites.render import render_sprites
from jaxgen.data.streaming import StreamedBatches
from jaxgen.data.toys import checkerboard, moons, ring, spirals, swiss_roll

__all__ = [
    "DSPRITES_FACTORS",
    "SYMBOLS",
    "Batches",
    "CaptchaStyle",
    "DSprites",
    "ImageDataset",
    "StreamedBatches",
    "binarise",
    "checkerboard",
    "decode_symbols",
    "decode_texts",
    "dequantise",
    "digits",
    "documentation_text",
    "dsprites_factors",
    "dsprites_index",
    "encode_symbols",
    "encode_texts",
    "fit_palette",
    "from_palette",
    "held_out_texts",
    "load_captchas",
    "load_dsprites",
    "load_images",
    "moons",
    "render_captchas",
    "render_digits",
    "render_dsprites",
    "render_sprites",
    "render_texts",
    "ring",
    "spirals",
    "split_by_content",
    "split_by_text",
    "swiss_roll",
    "text_windows",
    "to_float",
    "to_palette",
    "to_uint8",
]
