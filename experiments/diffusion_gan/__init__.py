"""GANs joined with diffusion: Diffusion-GAN and denoising diffusion GANs, in the plane and on images."""

from experiments.kit.exercise import Exercise

EXERCISE = Exercise(
    name="diffusion_gan",
    title="GANs with diffusion: coverage, quality and speed",
    question="What does each half of the union give: do noised critics keep a GAN from losing modes, and does a GAN "
    "let a diffusion model take four steps instead of hundreds?",
    paper="Wang et al. 2022 (Diffusion-GAN), Xiao et al. 2022 (DDGAN)",
    minutes="14 to 16",
    shows="modes found in the plane by six methods; sprites by DDGAN, DDPM and DDIM, quality against seconds",
)
