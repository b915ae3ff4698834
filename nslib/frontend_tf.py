# shim
from nslib.frontend import log_mel_tf as log_mel
from nslib.frontend import pad_tf as pad
from nslib.frontend import patches_tf as patches
