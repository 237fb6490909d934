"""The simulator runs without the service, whoever else has it loaded."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
LOOK = """
import asyncio, io, json, sys
from PIL import Image
from app.simulator import create_simulator
from app.simulator.answers import LocalModel
from app.simulator.pictures import Picture

file = io.BytesIO()
Image.new("RGB", (64, 64)).save(file, "PNG")
picture = Picture(file.getvalue(), 64, 64, "")
asyncio.run(LocalModel().shares(picture, ["cat", "dog"]))
print(json.dumps([each for each in sys.modules if each.startswith(("app.", "sqlalchemy"))]))
"""
SHARED = {
    "app.errors",
    "app.listening",
    "app.providers",
    "app.providers.local",
    "app.square",
    "app.usage",
}


def test_it_loads_what_it_shares_and_nothing_else():
    """Neither storage nor SQLAlchemy: also when the embedded model looks at a picture."""
    done = subprocess.run([sys.executable, "-c", LOOK], cwd=ROOT, capture_output=True, check=True)

    loaded = set(json.loads(done.stdout))
    own = {each for each in loaded if each.startswith("app.simulator")}
    model = {each for each in loaded if each.startswith("app.providers.local.")}
    assert "app.providers.local.provider" not in model
    assert loaded - own - model == SHARED
