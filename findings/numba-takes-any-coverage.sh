#!/usr/bin/env bash
# numba 0.68.1: a script beside a file of one's own called coverage.py cannot import numba.
#
# numba looks for the package coverage (which measures tests) and takes any module of that name for it. Python puts the
# script's folder first on its path, so a study of, say, how often intervals cover the truth, kept in coverage.py, is
# what numba finds: "AttributeError: module 'coverage' has no attribute 'types'", from whatever imports numba (librosa,
# resampy, umap-learn, shap). Without that file the same script runs. Expected: a missing attribute is like a missing
# package, and costs only what numba wants it for.
# Fails if numba changes this.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numba==0.68.1 llvmlite==0.50.0 numpy==2.4.6
cat > "$folder/study.py" <<'SCRIPT'
import numba

print("numba", numba.__version__, numba.njit(lambda x: x + 1)(1))
SCRIPT
"$folder/venv/bin/python" "$folder/study.py"
echo '"""How often an interval covers the truth."""' > "$folder/coverage.py"
if said=$("$folder/venv/bin/python" "$folder/study.py" 2>&1); then
  echo "numba was imported beside coverage.py: this has changed"
  exit 1
fi
tail -n 1 <<< "$said"
grep -q "module 'coverage' has no attribute 'types'" <<< "$said"
