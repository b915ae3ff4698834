# shim
from nslib.figures.figure import INK as INK
from nslib.figures.figure import MARKERS as MARKERS
from nslib.figures.figure import MUTED as MUTED
from nslib.figures.figure import RULE as RULE
from nslib.figures.figure import Figure as Figure
from nslib.figures.figure import make_axes as canvas
from nslib.figures.figure import palette as palette
from nslib.figures.figure import with_style as styled
