# shim
from nslib.extraction.cluster import ClusterJob as Job
from nslib.extraction.cluster import describe_cluster_cost as text
