"""What a wheel carries: every file that the code opens at run time, not only the modules."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.test_house import ROOT, tracked


def test_a_wheel_has_every_file_of_the_packages(tmp_path: Path) -> None:
    wanted = {path.relative_to(ROOT) for path in tracked() if path.relative_to(ROOT).parts[0] in {"lab", "rewriters"}}
    source = tmp_path / "source"
    for path in [*wanted, Path("pyproject.toml"), Path("README.md"), Path("LICENSE")]:
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, source / path)
    build = "from setuptools import build_meta; import sys; build_meta.build_wheel(sys.argv[1])"
    made = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=source, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = {Path(name) for name in opened.namelist()}
    assert len(wanted) > 100
    assert not sorted(map(str, wanted - names))
