"""CAPTCHAs drawn on request."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="captcha",
    title="CAPTCHAs that can be read",
    question="Can a diffusion model draw CAPTCHAs of the texts it is asked for, also of texts never seen in training, "
    "so that a recogniser trained on real images reads them as often as real ones?",
    paper="Ho & Salimans 2022",
    minutes="9",
    shows="samples without and with a text, how often they are read by guidance scale, nearest training images",
)
