"""scikit-learn's random forest, node by node the same, several times as fast.

Grown are the trees of ``RandomForestClassifier(trees, class_weight=..., random_state=...)`` of scikit-learn 1.9: the
same draws of clips and dimensions, the same candidates in the same arithmetic, hence the same nodes, thresholds and
probabilities (held to scikit-learn node by node in tests/evaluation/test_forest.py). What is quicker:

- Dimensions are ranked once a forest; a node sorts small whole numbers, by radix where it holds many clips.
- A drawn clip weighs as often as it was drawn, so that counts and their squares are whole numbers, which are exact in
  any order; the next candidate costs two additions of squares, however many classes there are.
- A tree needs a feature, a threshold and a link a node. A leaf of one class, which nearly all are, is that class.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nslib import config

__all__ = ["RandomForest", "Ranked", "rank"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

_MIX = 0xFFFFFFFF  # random numbers are of 32 bits, and so is what a key carries beside a rank
_LARGE = 1 << 62  # behind all keys
_DIGIT = 7  # bits that a pass of the sort looks at
_FEW, _SOME, _BLOCK = 8, 40, 16  # up to so many clips inserting, and counting the smaller ones in blocks, is quicker
_AT_ONCE = 1 << 16  # numbers that are ranked together: of few clips a dimension alone is a call's overhead
_MARGIN = 1 - 1e-9  # far above what rounding does to a gain
_CLOSE = np.float32(1e-7)  # values so near are not told apart


class _Tree(NamedTuple):
    """Nodes, the left child behind its parent."""

    feature: Ints  # -1: a leaf
    threshold: Floats  # what is at most this goes left
    link: Ints  # the right child; of a leaf its class, or -1 - n for row n of ``mixed``
    mixed: Floats  # shares of the classes in leaves that hold several


class Ranked(NamedTuple):
    """Clips as trees see them: which of the values of its dimension each has."""

    ranks: npt.NDArray[Any]  # [dim, clips], equal for equal values
    values: npt.NDArray[np.float32]  # [dim, clips], the value of each rank, and zeros


class RandomForest:
    """A hundred or so trees.

    Parameters
    ----------
    trees : int
    class_weight : {"balanced", None}
        "balanced" draws clips of each class as often as those of any other.
    seed : int
        Of the draws of clips, and of dimensions at each node.
    """

    def __init__(self, trees: int, class_weight: str | None, seed: int) -> None:
        self.trees, self.class_weight, self.seed = trees, class_weight, seed

    def fit(self, x: npt.ArrayLike | Ranked, y: npt.ArrayLike) -> RandomForest:
        """Grow the trees on clips [clips, dim], or what `rank` made of them, of the classes `y`."""
        from sklearn.utils.class_weight import compute_sample_weight

        labels, ranked = np.asarray(y), x if isinstance(x, Ranked) else rank(x)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        clips = len(labels)
        odds = None if self.class_weight is None else compute_sample_weight(self.class_weight, labels)
        edges = None if odds is None else np.cumsum(odds / odds.sum())
        random = np.random.RandomState(0)  # to seed one takes a hundredth of the time of making one
        self._trees = []
        for seed in np.random.RandomState(self.seed).randint(np.iinfo(np.int32).max, size=self.trees):
            random.seed(seed)
            if edges is None:
                drawn = random.randint(0, clips, clips)
            else:  # what random.choice(clips, clips, p=odds) gives, which checks the odds each time
                drawn = np.searchsorted(edges / edges[-1], random.random_sample(clips), side="right")
            random.seed(seed)
            start = random.randint(0, np.iinfo(np.int32).max)
            counts = np.bincount(drawn, minlength=clips)
            self._trees.append(self._grow_tree(ranked, codes.astype(np.int64), counts, start))
        return self

    def _grow_tree(self, ranked: Ranked, codes: npt.NDArray[np.int64], counts: npt.NDArray[np.int64],
                   start: int) -> _Tree:
        """Grow a tree on clips that were drawn so often."""
        samples, dim, classes = np.flatnonzero(counts), len(ranked.ranks), len(self.classes_)
        room = 2 * len(samples)
        feature, threshold, link = np.full(room, -1, np.int32), np.zeros(room), np.zeros(room, np.int32)
        mixed_at, stack = np.empty((room, 2), np.int64), np.empty((room + 2, 4), np.int64)
        bits = (classes - 1).bit_length()
        stack[0] = 0, len(samples), -1, 0  # first sample, last, parent of a right child, dimensions known as constant
        nodes, mixed = config.compile_function(_grow)(
            *ranked, counts << bits | codes, bits, samples, max(1, int(np.sqrt(dim))), start, feature, threshold, link,
            mixed_at, np.arange(dim), np.empty(dim, np.int64), np.zeros((2, classes), np.int64),
            np.empty((3, len(samples) + _BLOCK), np.int64), np.empty(len(samples) + (2 << _DIGIT), np.int64), stack)
        held = [samples[first:last] for first, last in mixed_at[:mixed]]
        shares = [np.bincount(codes[some], counts[some], classes) / counts[some].sum() for some in held]
        return _Tree(feature[:nodes].copy(), threshold[:nodes].copy(), link[:nodes].copy(),
                     np.reshape(shares, (mixed, classes)).astype(float))

    def predict_proba(self, x: npt.ArrayLike) -> Floats:
        """Average what the trees say: [clips, classes]."""
        from sklearn.utils import check_array

        vectors = check_array(x, dtype=np.float32, order="C")
        total = np.zeros((len(vectors), len(self.classes_)))
        ask = config.compile_function(_ask)
        for tree in self._trees:
            ask(vectors, *tree, total)
        return total / len(self._trees)

    def predict(self, x: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the likeliest class of each clip."""
        return np.asarray(self.classes_[self.predict_proba(x).argmax(axis=1)])


def rank(x: npt.ArrayLike) -> Ranked:
    """Rank each dimension of clips [clips, dim], once for all forests; ValueError for what float32 cannot hold."""
    from sklearn.utils import check_array

    vectors = check_array(x, dtype=np.float32)
    clips, dim = vectors.shape
    ranks = np.empty((dim, clips), np.uint16 if clips <= 1 << 16 else np.uint32)
    values = np.zeros((dim, clips), np.float32)
    step = max(1, _AT_ONCE // clips)
    for part in (slice(start, start + step) for start in range(0, dim, step)):  # np.unique takes twice as long
        columns = vectors.T[part]
        order = columns.argsort(axis=1)
        known = np.take_along_axis(columns, order, 1)
        new = np.zeros(known.shape, bool)
        np.not_equal(known[:, 1:], known[:, :-1], out=new[:, 1:])
        place = new.cumsum(axis=1)
        np.put_along_axis(ranks[part], order, place, 1)
        np.put_along_axis(values[part], place, known, 1)
    return Ranked(ranks, values)


def _grow(ranks: Any, values: Any, held: Any, bits: int, samples: Any, most: int, state: int, feature: Any,
          threshold: Any, link: Any, mixed_at: Any, features: Any, constants: Any, sums: Any, work: Any, digits: Any,
          stack: Any) -> Any:
    """Grow a tree into arrays: how many nodes, and how many leaves of several classes.

    ``held`` is of each clip how often it was drawn, and in the lowest ``bits`` its class; both fit 32 bits, because a
    class is drawn about as often as there are clips a class. A key is a rank, and what is held behind it.

    Names of what is drawn follow the invariants of scikit-learn's splitter. What is plain enough to be compiled in
    seconds is compiled: loops over arrays, which come from outside.
    """
    total, left = sums[0], sums[1]
    payload, keys, other = work[0], work[1], work[2]
    dim = len(features)
    the_class = (1 << bits) - 1
    waiting, node, mixed = 1, -1, 0
    while waiting:
        waiting -= 1
        first, last = stack[waiting, 0], stack[waiting, 1]
        parent, known = stack[waiting, 2], stack[waiting, 3]
        node += 1
        if parent >= 0:
            link[parent] = node
        count = last - first
        whole, squares = 0, 0
        for i in range(count):
            payload[i] = held[samples[first + i]]
            c, w = payload[i] & the_class, payload[i] >> bits
            squares += w * (2 * total[c] + w)
            total[c] += w
            whole += w
        pure = total[payload[0] & the_class] == whole
        best, best_feature, best_rank, cut, floor = -np.inf, -1, 0, 0.0, -np.inf
        tried, found, drawn, left_over = 0, 0, 0, dim
        while not pure and left_over > known + found and (tried < most or tried <= found + drawn):
            tried += 1
            if state == 0:
                state = 1
            state ^= (state << 13) & _MIX
            state ^= state >> 17
            state ^= (state << 5) & _MIX
            pick = drawn + (state & 0x7FFFFFFF) % (left_over - found - drawn)
            if pick < known:
                features[drawn], features[pick] = features[pick], features[drawn]
                drawn += 1
                continue
            pick += found
            at = features[pick]
            row = ranks[at]
            lowest, highest = np.int64(row[samples[first]]), np.int64(0)
            for i in range(count):
                rank = np.int64(row[samples[first + i]])
                keys[i] = rank << 32 | payload[i]
                lowest, highest = min(lowest, rank), max(highest, rank)
            if values[at, highest] <= values[at, lowest] + _CLOSE:
                features[pick], features[known + found] = features[known + found], features[pick]
                found += 1
                continue
            left_over -= 1
            features[left_over], features[pick] = features[pick], features[left_over]
            if count <= _FEW:
                for i in range(1, count):
                    key, j = keys[i], i
                    while j > 0 and keys[j - 1] > key:
                        keys[j] = keys[j - 1]
                        j -= 1
                    keys[j] = key
            elif count <= _SOME:  # a key's place is the number of smaller ones; equal keys share the first
                padded = (count + _BLOCK - 1) // _BLOCK * _BLOCK
                for i in range(count):
                    other[i] = -1
                for i in range(count, padded):
                    keys[i] = _LARGE
                for i in range(count):
                    key, place = keys[i], 0
                    for j in range(padded):
                        place += keys[j] < key
                    other[place] = key
                keys, other = other, keys
                for i in range(1, count):
                    keys[i] = max(keys[i], keys[i - 1])
            else:
                few = highest - lowest < count + (2 << _DIGIT)  # one digit holds them
                shift, width, base = 32, 32 if few else _DIGIT, lowest if few else np.int64(0)
                span = highest - lowest + 1 if few else np.int64(1 << _DIGIT)
                while highest >> (shift - 32):
                    for digit in range(span):
                        digits[digit] = 0
                    for i in range(count):
                        digits[((keys[i] >> shift) - base) & ((1 << width) - 1)] += 1
                    place = 0
                    for digit in range(span):
                        digits[digit], place = place, place + digits[digit]
                    for i in range(count):
                        digit = ((keys[i] >> shift) - base) & ((1 << width) - 1)
                        other[digits[digit]] = keys[i]
                        digits[digit] += 1
                    keys, other = other, keys
                    shift += width
            for i in range(count):
                left[payload[i] & the_class] = 0
            here, squares_left, squares_right = 0, 0, squares
            for p in range(1, count):
                key = keys[p - 1]
                c, w = key & the_class, (key & _MIX) >> bits
                known_left = left[c]
                squares_left += w * (2 * known_left + w)
                squares_right += w * (w - 2 * (total[c] - known_left))
                left[c] = known_left + w
                here += w
                before, behind = key >> 32, keys[p] >> 32
                if before == behind:
                    continue
                a, b = float(here), float(whole - here)
                # no division, while the best is out of reach
                if squares_left * b + squares_right * a < floor * (a * b):
                    continue
                gain = -b * (1.0 - squares_right / (b * b)) - a * (1.0 - squares_left / (a * a))
                if gain > best and values[at, behind] > values[at, before] + _CLOSE:
                    best, best_feature, best_rank = gain, at, before
                    floor = gain + whole * _MARGIN
                    cut = values[at, before] / 2.0 + values[at, behind] / 2.0
        for i in range(count):
            total[payload[i] & the_class] = 0
        if best_feature >= 0:
            feature[node], threshold[node] = best_feature, cut
            row = ranks[best_feature]
            low, high = np.int64(0), np.int64(0)
            for i in range(first, last):
                sample = samples[i]
                goes = np.int64(row[sample] <= best_rank)
                samples[first + low] = sample
                other[high] = sample
                low += goes
                high += 1 - goes
            low += first
            for i in range(high):
                samples[low + i] = other[i]
        elif pure:
            link[node] = payload[0] & the_class
        else:
            link[node] = -1 - mixed
            mixed_at[mixed, 0], mixed_at[mixed, 1] = first, last
            mixed += 1
        for i in range(known):
            features[i] = constants[i]
        for i in range(known, known + found):
            constants[i] = features[i]
        if best_feature >= 0:
            for begin, end, owner in ((low, last, node), (first, low, -1)):  # the left child is taken up next
                stack[waiting, 0], stack[waiting, 1] = begin, end
                stack[waiting, 2], stack[waiting, 3] = owner, known + found
                waiting += 1
    return node + 1, mixed


def _ask(vectors: Any, feature: Any, threshold: Any, link: Any, mixed: Any, total: Any) -> None:
    """Add to the total what a tree says of each clip."""
    for i in range(len(vectors)):
        node = 0
        while feature[node] >= 0:
            node = node + 1 if vectors[i, feature[node]] <= threshold[node] else link[node]
        if link[node] >= 0:
            total[i, link[node]] += 1.0
        else:
            for c in range(total.shape[1]):
                total[i, c] += mixed[-1 - link[node], c]
