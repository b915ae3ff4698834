# shim
from nslib.teaching.notebook_rules import ContractBroken as ContractBroken
from nslib.teaching.notebook_rules import Violation as Violation
from nslib.teaching.notebook_rules import check_executed as check_executed
from nslib.teaching.notebook_rules import check_folder as check_folder
from nslib.teaching.notebook_rules import check_source as check_source
from nslib.teaching.notebook_rules import read_notebook as read
from nslib.teaching.notebook_rules import read_parameters as parameters
