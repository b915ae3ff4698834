# shim
from nslib.evaluation.results import LEDGER as LEDGER
from nslib.evaluation.results import PREDICTIONS as PREDICTIONS
from nslib.evaluation.results import PROTOCOL_ANSWERS as PROTOCOL_ANSWERS
from nslib.evaluation.results import PROTOCOL_ROWS as PROTOCOL_ROWS
from nslib.evaluation.results import ROWS as ROWS
from nslib.evaluation.results import Column as Column
from nslib.evaluation.results import check_table as conforming
from nslib.evaluation.results import describe_columns as schema
from nslib.evaluation.results import empty_table as empty
