"""The public face: every room says what is public, one name means one thing, and the extras are named."""

import importlib
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import jaxgen

INNER = {f"jaxgen.diffusion.{room}" for room in ("continuous", "denoisers", "objectives", "processes")}
INNER |= {f"jaxgen.data.{room}" for room in ("captcha", "dsprites", "reading", "sprites")}
PACKAGES = [m.name for m in pkgutil.walk_packages(jaxgen.__path__, "jaxgen.") if m.ispkg]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_room_lists_its_names_and_no_module_has_the_name_of_a_function(name):
    room = importlib.import_module(name)
    if name in INNER:  # its names are those of the room around it
        assert not [name for name, value in vars(room).items() if callable(value)]
    else:
        assert set(room.__all__) <= set(dir(room))
        assert len(room.__all__) == len(set(room.__all__))
    for module in pkgutil.iter_modules(room.__path__):
        value = getattr(room, module.name, None)
        assert not callable(value), f"{name}.{module.name} is a module and a function"
        inside = importlib.import_module(f"{name}.{module.name}")
        assert not callable(getattr(inside, module.name, None)), f"{name}.{module.name} exports its own name"


def test_the_package_is_typed_and_knows_its_version():
    assert (Path(jaxgen.__file__).parent / "py.typed").exists()
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert jaxgen.__version__ == project["version"]


@pytest.mark.parametrize(
    ("room", "missing"), [("report", "jinja2"), ("report", "matplotlib"), ("report", "PIL"), ("graphical", "networkx")]
)
def test_a_room_without_its_extra_says_which(room, missing):
    code = f"import sys; sys.modules['{missing}'] = None; import jaxgen.{room}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode
    assert f'pip install "jaxgen[{room}]"' in done.stderr.splitlines()[-1]
