"""Energy-based models: maximum likelihood by Markov chains, recovery likelihood, priors over latents, likelihoods."""

from jaxgen.ebm.chains import langevin_chain
from jaxgen.ebm.energy import Energy, MakeChain, tilted
from jaxgen.ebm.kernels import conditional_energy
from jaxgen.ebm.ladder import RecoveryLadder, published_ladder, recovery_ladder, scaled_energy
from jaxgen.ebm.likelihood import LogLikelihood, estimate_log_normalizer, log_likelihood
from jaxgen.ebm.noise_contrastive import noise_contrastive_losses
from jaxgen.ebm.objectives import EnergyObjective, contrastive_losses, maximum_likelihood
from jaxgen.ebm.priors import EnergyPrior, langevin_prior, resampled_prior
from jaxgen.ebm.quadrature import PlaneDensity, plane_density
from jaxgen.ebm.recovery import recovery_likelihood
from jaxgen.ebm.sampling import recovery_sampler
from jaxgen.ebm.starts import ChainStarts, data_chains, persistent_chains, short_run_chains

__all__ = [
    "ChainStarts",
    "Energy",
    "EnergyObjective",
    "EnergyPrior",
    "LogLikelihood",
    "MakeChain",
    "PlaneDensity",
    "RecoveryLadder",
    "conditional_energy",
    "contrastive_losses",
    "data_chains",
    "estimate_log_normalizer",
    "langevin_chain",
    "langevin_prior",
    "log_likelihood",
    "maximum_likelihood",
    "noise_contrastive_losses",
    "persistent_chains",
    "plane_density",
    "published_ladder",
    "recovery_ladder",
    "recovery_likelihood",
    "recovery_sampler",
    "resampled_prior",
    "scaled_energy",
    "short_run_chains",
    "tilted",
]
