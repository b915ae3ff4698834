# shim
from nslib.teaching.workshop import begin as begin
