"""Samplers, likelihoods, losses, training steps and networks lower for CUDA and TPU, without such a device."""

import jax
import jax.numpy as jnp
import optax
import pytest
from every_sampler import ANY, CONTINUOUS_ONLY

from jaxgen import diffusion, gan, nets, samplers, training, vae
from jaxgen.core import hutchinson
from jaxgen.diffusion import inverse
from jaxgen.distributions import Gaussian, likelihoods

BATCH, DIM = 2, 3
PROCESS, CHAIN = diffusion.vp(), diffusion.from_betas(diffusion.linear_betas(4))
X, IMAGE = jnp.zeros((BATCH, DIM)), jnp.zeros((BATCH, 8, 8, 3))
MASK = inverse.mask(jnp.array([1.0, 0.0, 0.0]))


def network(x, t, cond=None):
    return jnp.tanh(x)


DENOISE, CHAIN_DENOISE = diffusion.denoiser(PROCESS, network), diffusion.denoiser(CHAIN, network)
GAMMA = diffusion.linear_log_snr()
CRITIC_INPUT = gan.adaptive_diffusion()
MODEL = vae.VAE(lambda x: Gaussian(x, jnp.ones(())), jnp.tanh, likelihoods.bernoulli())
SAMPLERS = (
    ANY
    | CONTINUOUS_ONLY
    | {
        "annealed_langevin": samplers.annealed_langevin(1e-4, 0.1, steps=2),
        "ddgan": gan.ddgan(2),
        "langevin_corrector": samplers.predictor_corrector(samplers.ddpm("fixed_small"), samplers.langevin_corrector()),
        "repaint": samplers.repaint(samplers.replacement(samplers.ddim(), MASK, X[0]), 2),
    }
)
SOLVERS = {
    "sample_ode": lambda keys: samplers.sample_ode(keys, PROCESS, DENOISE, (DIM,)),
    "sample_sde": lambda keys: samplers.sample_sde(keys, PROCESS, DENOISE, (DIM,), steps=4),
    "ode_encode": lambda keys: samplers.ode_encode(PROCESS, DENOISE, X),
    "ode_decode": lambda keys: samplers.ode_decode(PROCESS, DENOISE, X, per_sample=True),
    "log_likelihood": lambda keys: diffusion.log_likelihood(PROCESS, DENOISE, X),
    "log_likelihood, Hutchinson": lambda keys: diffusion.log_likelihood(
        PROCESS, DENOISE, X, divergence=hutchinson(keys)
    ),
}
DENOISERS = {
    "classifier_free": diffusion.guidance.classifier_free(PROCESS, DENOISE, jnp.ones(BATCH), jnp.zeros(()), 2.0),
    "classifier": diffusion.guidance.classifier(PROCESS, DENOISE, lambda x, t: -jnp.sum(x**2, -1)),
    "pigdm": inverse.pigdm(PROCESS, DENOISE, MASK, X),
    "dps": inverse.dps(PROCESS, DENOISE, MASK, X, step_size=1.0),
}
OBJECTIVES = {
    "denoising_loss": lambda key: diffusion.denoising_loss(key, PROCESS, network, X),
    "vlb_loss": lambda key: diffusion.vlb_loss(key, CHAIN, network, X),
    "variational_bound": lambda key: (
        diffusion.variational_bound(jax.random.split(key, BATCH), CHAIN, CHAIN_DENOISE, X).total
    ),
    "vdm_bound": lambda key: diffusion.vdm_bound(key, GAMMA, network, X).total,
    "vae_loss": lambda key: vae.vae_loss(key, MODEL, X)[0],
    "importance_weighted_bound": lambda key: vae.importance_weighted_bound(key, MODEL, X, samples=4),
    "adaptive_diffusion": lambda key: CRITIC_INPUT.perturb(key, CRITIC_INPUT.init(key), X)[0],
    "vq_vae_loss": lambda key: vae.vq_vae_loss(
        jnp.tanh, jnp.tanh, jnp.eye(DIM), X[:, None], likelihood=likelihoods.bernoulli()
    )[0],
}
NETWORKS = {
    "MLP": (nets.MLP(8, 1), X, jnp.zeros(BATCH)),
    "UNet": (nets.UNet(8, (1, 2), num_classes=2), IMAGE, jnp.zeros(BATCH), jnp.zeros(BATCH, int)),
    "DiT": (nets.DiT(16, 2, 2, rotary=True, num_classes=2, remat=True), IMAGE, jnp.zeros(BATCH), jnp.zeros(BATCH, int)),
    "SequenceDiT": (
        nets.SequenceDiT(16, 2, 2, vocabulary=4, num_tokens=3, sequence_length=2, dtype=jnp.bfloat16),
        jnp.zeros((BATCH, DIM), int),
        jnp.zeros(BATCH),
        jnp.zeros((BATCH, 2), int),
    ),
    "SetDiT": (nets.SetDiT(16, 2, 2, qk_norm=True), IMAGE[:, 0], jnp.zeros(BATCH)),
    "ContextUNet": (nets.ContextUNet(8), IMAGE, jnp.zeros(BATCH)),
    "ConvEncoder": (nets.ConvEncoder(3), IMAGE),
    "ConvDecoder": (nets.ConvDecoder(IMAGE.shape[1:]), X),
    "SpatialEncoder": (nets.SpatialEncoder(3, 1, 8, 1), IMAGE),
    "SpatialDecoder": (nets.SpatialDecoder(3, 1, 8, 1), IMAGE),
    "MLPEncoder": (nets.MLPEncoder(3, (8,)), X),
    "MLPDecoder": (nets.MLPDecoder((DIM,), (8,)), X),
    "ConvClassifier": (nets.ConvClassifier(2), IMAGE),
    "DCGANGenerator": (nets.DCGANGenerator(IMAGE.shape[1:], 4), X),
    "DCGANCritic": (nets.DCGANCritic(4), IMAGE),
    "ResidualGenerator": (nets.ResidualGenerator(IMAGE.shape[1:], 4), X),
    "ResidualCritic": (nets.ResidualCritic(4), IMAGE),
    "DenoisingGenerator": (nets.DenoisingGenerator(8, (1, 2)), IMAGE, jnp.zeros(BATCH), X),
    "DenoisingCritic": (nets.DenoisingCritic(4, minibatch_group=2), IMAGE, IMAGE, jnp.zeros(BATCH)),
    "DenoisingMLPGenerator": (nets.DenoisingMLPGenerator((8,)), X, jnp.zeros(BATCH), X),
    "DenoisingMLPCritic": (nets.DenoisingMLPCritic((8,)), X, X, jnp.zeros(BATCH)),
    "TextRecogniser": (nets.TextRecogniser(5, 2, 8, (8,)), IMAGE),
}


def lower(function, *args):
    """Export for both platforms; an operation that the CPU alone has, or a callback to the host, is an error."""
    jax.export.export(jax.jit(function), platforms=("cuda", "tpu"))(*args)


def draw(sampler, process, denoise):
    return lambda keys: samplers.sample(keys, process, denoise, sampler, diffusion.uniform_grid(4), (DIM,))


@pytest.fixture
def keys():
    return jax.random.split(jax.random.key(0), BATCH)


@pytest.mark.first_by_day
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler(name, keys):
    lower(draw(SAMPLERS[name], PROCESS, DENOISE), keys)


@pytest.mark.first_by_day
@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver(name, keys, monkeypatch):
    """As with the environment variable EQX_ON_ERROR=nan: otherwise failures are raised by the host."""
    monkeypatch.setattr("equinox._errors.EQX_ON_ERROR", "nan")
    jax.clear_caches()  # another test may have traced the same solver, with failures that the host raises
    lower(SOLVERS[name], keys)


@pytest.mark.first_by_day
@pytest.mark.parametrize("name", DENOISERS)
def test_a_guided_denoiser(name, keys):
    lower(draw(samplers.ddim(), PROCESS, DENOISERS[name]), keys)


@pytest.mark.first_by_day
@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective(name):
    lower(lambda key: OBJECTIVES[name](key).mean(), jax.random.key(0))


@pytest.mark.first_by_day
@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_step(name):
    """The network's gradient, Adam, clipping and the average of the parameters."""
    net, *inputs = NETWORKS[name]
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))

    def loss(key, params, batch):
        out = jax.tree.map(lambda leaf: leaf.reshape(BATCH, -1) ** 2, jax.tree.leaves(net.apply(params, *batch)))
        return sum(leaf.mean(-1) for leaf in out)

    params = jax.eval_shape(net.init, jax.random.key(0), *inputs)
    state = jax.eval_shape(lambda key, params: training.create_state(key, params, optimizer), jax.random.key(0), params)
    lower(training.make_train_step(loss, optimizer), state, inputs)


def test_an_adversarial_step():
    optimizer = optax.adam(1e-3)
    state = training.create_adversarial_state(jax.random.key(0), X[0], X[0], optimizer, optimizer)

    def loss(key, own, other, batch):
        return jnp.sum(batch * own * other, -1)

    lower(training.make_adversarial_step(loss, loss, optimizer, optimizer), state, X)
