# shim
from nslib.report.doctor import examine_data as data_findings
from nslib.report.doctor import examine_devices as device_findings
from nslib.report.doctor import examine_embeddings as embedding_findings
from nslib.report.doctor import examine_gpus as _gpus
from nslib.report.doctor import examine_machine as findings
from nslib.report.doctor import format_findings as text
