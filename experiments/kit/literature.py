"""Values of the literature, with their sources: they stand beside what is measured, and in columns of their own."""

from typing import NamedTuple


class Published(NamedTuple):
    """What a paper reports on CIFAR-10; None is not reported.

    Attributes:
        fid: Fréchet Inception distance of 50,000 samples to the training images.
        recall: improved recall.
        calls: network calls for a sample.
        seconds: seconds for 100 images on a V100.
    """

    fid: float | None
    recall: float | None = None
    calls: int | None = None
    seconds: float | None = None


# The values that the models' own papers report, which tables 5-1 and 5-2 of the seminar quote. The seminar prints 28.01
# for NCSN.
OWN_PAPERS = {
    "NCSN": Published(25.32),  # Song & Ermon 2019, table 1
    "DDPM": Published(3.17),  # Ho et al. 2020, table 1
    "VE SDE": Published(2.20),  # Song et al. 2021, table 3
    "VP SDE": Published(2.41),
}

# Xiao et al. 2022, "Tackling the generative learning trilemma with denoising diffusion GANs", table 1
TRILEMMA = {
    "DDGAN": Published(3.75, 0.57, 4, 0.21),
    "DDPM": Published(3.21, 0.57, 1000, 80.5),
    "NCSN": Published(25.3, None, 1000, 107.9),
    "VE SDE": Published(2.20, 0.59, 2000, 423),
    "VP SDE": Published(2.41, 0.59, 2000, 423),
    "DDIM, 50 steps": Published(4.67, 0.53, 50, 4.01),
    "recovery likelihood": Published(9.58, None, 180, None),
    "StyleGAN2": Published(8.32, 0.41, 1, 0.04),
    "StyleGAN2 with ADA": Published(2.92, 0.49, 1, 0.04),
    "NVAE": Published(23.5, 0.51, 1, 0.36),
    "VAEBM": Published(12.2, 0.53, 16, 8.79),
    "Glow": Published(48.9, None, 1, None),
}
