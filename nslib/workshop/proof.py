# shim
from nslib.teaching.workshop import prove as prove
