# shim
from nslib.config import code_revision as code_revision
from nslib.config import describe_origin as provenance
from nslib.config import lock_hash as lock_hash
from nslib.config import package_versions as versions
from nslib.evaluation.probe import probe_hash as probe_hash
