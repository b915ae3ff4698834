"""A network on patches with its products in bfloat16, by TensorFlow's own rewriting of graphs for oneDNN.

TensorFlow can rewrite every graph of a process so (``auto_mixed_precision_onednn_bfloat16``). Here the same pass is
run once, over one frozen graph, and its result is kept: no other function of the process changes.

Conventions
-----------
bfloat16 has the range of float32 and 8 bits of precision. Input and output stay float32. It runs on the processor.
The pass does nothing where oneDNN is switched off, which TensorFlow does on processors without AVX512-VNNI; that is
an error here, because the graph would be the old one. Processors without AVX512-BF16 or AMX emulate the products,
which is slower than float32.
"""

from __future__ import annotations

from typing import Any

from nslib.embeddings import graphs
from nslib.embeddings.graphs import Patched
from nslib.embeddings.patches import Network
from nslib.errors import Unavailable

PASS = "auto_mixed_precision_onednn_bfloat16"
_FLAGS = ("avx512_bf16", "amx_bf16")


def network(parts: Patched) -> Network:
    """Freeze a network and rewrite it.

    Parameters
    ----------
    parts : Patched

    Returns
    -------
    callable
        float32 array [patches, *shape] to array [patches, dim].

    Raises
    ------
    Unavailable
        If the pass changes nothing on this machine.
    """
    frozen = graphs.freeze(parts.function, [None, *parts.shape])
    taken, given = frozen.inputs[0].name, frozen.outputs[0].name
    rewritten = _rewritten(frozen.graph, taken, given)

    def imported(patch: Any) -> Any:
        import tensorflow as tf

        (out,) = tf.graph_util.import_graph_def(rewritten, {taken: patch}, [given], name="rewritten")
        return out

    with graphs.on("CPU:0"):
        return graphs.frozen(imported, parts.shape)


def native() -> bool:
    """Whether the processor multiplies bfloat16 itself.

    Returns
    -------
    bool
        False also where it cannot be told (outside Linux).
    """
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return False
    return any(flag in flags.split() for flag in _FLAGS)


def _rewritten(graph: Any, taken: str, given: str) -> Any:
    from tensorflow.core.framework import types_pb2
    from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2
    from tensorflow.python.grappler import tf_optimizer

    meta = meta_graph_pb2.MetaGraphDef(graph_def=graph.as_graph_def())
    # the pass must know what is fed and fetched: it keeps those, and follows what lies between
    for name, ends in ((taken, meta.signature_def["call"].inputs), (given, meta.signature_def["call"].outputs)):
        ends["value"].name = name
        ends["value"].dtype = types_pb2.DT_FLOAT
    config = config_pb2.ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.min_graph_nodes = -1  # small graphs too
    rewriting.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    rewriting.optimizers.append(PASS)
    rewriting.auto_mixed_precision_onednn_bfloat16 = rewriter_config_pb2.RewriterConfig.ON
    found = tf_optimizer.OptimizeGraph(config, meta)
    if not any(value.type == types_pb2.DT_BFLOAT16 for node in found.node for value in node.attr.values()):
        why = "TensorFlow's oneDNN kernels are off, as they are by default on processors without AVX512-VNNI"
        raise Unavailable("the backend bf16", why, "Use a newer processor. TF_ENABLE_ONEDNN_OPTS=1 switches them on "
                          "here too, but bfloat16 is then emulated, and slower than float32.")
    return found
