#!/usr/bin/env bash
# Finding: TensorFlow 2.21.0 does not look for cuSOLVER where its own extra, and-cuda, installs it.
#
# "pip install tensorflow[and-cuda]" puts each of NVIDIA's libraries into a folder of site-packages. It is
# libtensorflow_framework.so.2 that opens them, and the system's loader looks in the RUNPATH of the library that opens.
# That RUNPATH names the folders of cuBLAS, cuDNN, cuFFT, cuSPARSE, CUPTI, NCCL and the runtime, but not cuSOLVER's,
# which only libtensorflow_cc.so.2 names. Called without a GPU (through ctypes), TensorFlow's check of all libraries,
# after which it leaves every GPU out if one is missing, failed for it, and passed once libcusolver.so.11 was linked into
# cuSPARSE's folder, or LD_LIBRARY_PATH named its own. Seen here: the folders of both, and where the wheel puts it.
# Fails if TensorFlow changes this.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyelftools==0.33
"$folder/venv/bin/pip" download --quiet --no-deps --only-binary :all: --platform manylinux_2_27_x86_64 \
  --python-version 3.11 --dest "$folder" tensorflow==2.21.0 nvidia-cusolver-cu12==11.7.5.82
cat > "$folder/look.py" <<'SCRIPT'
import io
import re
import sys
import zipfile
from pathlib import Path

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile


def folders(wheel, library):
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith("tensorflow/" + library))
        elf = ELFFile(io.BytesIO(archive.read(name)))
    paths = [tag.runpath for s in elf.iter_sections() if isinstance(s, DynamicSection)
             for tag in s.iter_tags() if tag.entry.d_tag == "DT_RUNPATH"]
    return sorted(set(re.findall(r"nvidia/(\w+)/lib", ":".join(paths))))


home = Path(sys.argv[1])
tensorflow, cusolver = (next(home.glob(f"{name}*.whl")) for name in ("tensorflow-", "nvidia_cusolver"))
print(tensorflow.name, "has the extra and-cuda:",
      "nvidia-cusolver-cu12" in zipfile.ZipFile(tensorflow).read("tensorflow-2.21.0.dist-info/METADATA").decode())
print(cusolver.name, "holds", *(n for n in zipfile.ZipFile(cusolver).namelist() if "/libcusolver.so" in n))
framework, cc = (folders(tensorflow, f"libtensorflow_{part}.so.2") for part in ("framework", "cc"))
print("libtensorflow_framework.so.2 looks in", *framework)
print("libtensorflow_cc.so.2 looks in", *cc)
sys.exit("cusolver" in framework or "cusolver" not in cc or "cusparse" not in framework)
SCRIPT
"$folder/venv/bin/python" "$folder/look.py" "$folder"
