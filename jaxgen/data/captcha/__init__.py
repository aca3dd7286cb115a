"""Text CAPTCHAs: rendered from a seed, or read from files that are named by their text."""

from jaxgen.data.captcha.files import load_captchas
from jaxgen.data.captcha.render import CaptchaStyle, render_captchas, render_texts
from jaxgen.data.captcha.texts import decode_texts, encode_texts, held_out_texts, split_by_text

__all__ = [
    "CaptchaStyle",
    "decode_texts",
    "encode_texts",
    "held_out_texts",
    "load_captchas",
    "render_captchas",
    "render_texts",
    "split_by_text",
]
