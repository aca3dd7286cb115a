"""Normalizing flows: bijections with log-determinants, coupling, autoregressive, multi-scale and continuous.

A `Bijection` is a pair of pure functions, and a `Flow` is a bijection with a base distribution. Networks are functions.
"""

from jaxgen.flows._actnorm import ActnormParams, actnorm, init_actnorm
from jaxgen.flows._coupling import Conditioner, checkerboard_mask, coupling, masked_coupling
from jaxgen.flows._flow import Flow, Tempered, tempered
from jaxgen.flows._glow import Glow, GlowStepParams, glow
from jaxgen.flows.autoregressive import inverse_autoregressive, masked_autoregressive
from jaxgen.flows.bijections import Bijection, chain, invert
from jaxgen.flows.cnf import Velocity, continuous
from jaxgen.flows.dequantisation import (
    Dequantiser,
    dequantised_bound,
    uniform_dequantiser,
    variational_dequantiser,
)
from jaxgen.flows.elementwise_maps import elementwise, logit, scale_and_shift
from jaxgen.flows.image_layers import multi_scale, squeeze
from jaxgen.flows.linear import LULinearParams, init_lu_linear, lu_linear, permutation
from jaxgen.flows.scalar_maps import ScalarMap, affine_map, spline_map
from jaxgen.flows.splines import SplineKnots, rational_quadratic, rational_quadratic_inverse, spline_knots
from jaxgen.flows.transport import transport_noise

__all__ = [
    "ActnormParams",
    "Bijection",
    "Conditioner",
    "Dequantiser",
    "Flow",
    "Glow",
    "GlowStepParams",
    "LULinearParams",
    "ScalarMap",
    "SplineKnots",
    "Tempered",
    "Velocity",
    "actnorm",
    "affine_map",
    "chain",
    "checkerboard_mask",
    "continuous",
    "coupling",
    "dequantised_bound",
    "elementwise",
    "glow",
    "init_actnorm",
    "init_lu_linear",
    "inverse_autoregressive",
    "invert",
    "logit",
    "lu_linear",
    "masked_autoregressive",
    "masked_coupling",
    "multi_scale",
    "permutation",
    "rational_quadratic",
    "rational_quadratic_inverse",
    "scale_and_shift",
    "spline_knots",
    "spline_map",
    "squeeze",
    "tempered",
    "transport_noise",
    "uniform_dequantiser",
    "variational_dequantiser",
]
