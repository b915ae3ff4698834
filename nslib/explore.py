# shim
from nslib.teaching.listen import browse_clips as browse
from nslib.teaching.listen import build_space as space
from nslib.teaching.listen import compare_voice as resembles
from nslib.teaching.listen import embed_over_time as over_time
from nslib.teaching.listen import plot_resemblance as resemblance
from nslib.teaching.listen import plot_timeline as frames_over_time
from nslib.teaching.listen import read_upload as read_upload
from nslib.teaching.listen import show_neighbours as listen
