"""SPEC 7.7: coding in contexts."""

from entropy import Counters, Mixer, squash, stretch
from primitives import CaeError

LARGEST = 1 << 53


class DecisionModel:
    """SPEC 7.7.2."""

    def __init__(self, nodes, sizes):
        self.nodes = nodes
        self.sizes = sizes
        self.tables = [(Counters(size * nodes), Counters(size * nodes)) for size in (*sizes, 1)]
        self.mixer = Mixer([0.15] * 8, nodes, 0.002, 0.02)

    def bit(self, coder, node, contexts):
        at = [c * self.nodes + node for c in (*contexts, 0)]
        inputs = []
        for (fast, slow), i in zip(self.tables, at):
            inputs += [stretch(fast.p16(i)), stretch(slow.p16(i))]
        bit = coder.bit(squash(self.mixer.mix(inputs, node)))
        self.mixer.update(bit)
        for (fast, slow), i in zip(self.tables, at):
            fast.update(i, bit, 30)
            slow.update(i, bit, 1023)
        return bit


class IntegerModel:
    """SPEC 7.7.3."""

    def __init__(self, sizes):
        self.decisions = DecisionModel(214, sizes)

    def decode(self, coder, contexts):
        def bit(node):
            return self.decisions.bit(coder, node, contexts)

        if bit(0):
            return 0
        negative = bit(1)
        length = 1
        while length <= 53 and bit(1 + length):
            length += 1
        v = 1
        node = 55 + 3 * (length - 2)
        for k in range(length - 1):
            if k == 0:
                b = bit(node)
            elif k == 1:
                b = bit(node + 1 + (v & 1))
            else:
                b = coder.bit(32768)
            v = 2 * v + b
        if v > LARGEST:
            raise CaeError("magnitude above 2^53")
        return -v if negative else v


class Neighbors:
    """SPEC 7.7.1: distances back in flat order, None where the distance does not exist."""

    def __init__(self, dims):
        extents = [d for d in dims if d > 1]
        x = extents[-1] if extents else 1
        row = x if len(extents) >= 2 else None
        plane = x * extents[-2] if len(extents) >= 3 else None
        both = row + plane if plane else None
        self.west, self.west_west = 1, 2
        self.north = row
        self.north_east = row - 1 if row else None
        self.north_west = row + 1 if row else None
        self.below = plane
        self.below_west = plane + 1 if plane else None
        self.below_north = both
        self.below_north_west = both + 1 if both else None


def neighbor(values, i, distance, absent):
    if distance is None or i < distance:
        return absent
    return values[i - distance]
