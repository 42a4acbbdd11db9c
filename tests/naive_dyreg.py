"""Every equation of the DyReg-GNN paper again: plain Python, one number at a time, frame by frame.

As in `naive`, nothing here imports the package or torch. Images and maps are nested lists
[channel][row][column], kernels [row][column]; a box is (x, y, half width, half height) in fractions
of the frame, cell i of W has its centre at (i + 0.5)/W.
"""

from fractions import Fraction
from functools import cache
from math import atanh, ceil, exp, isnan, log, pi, sin, sqrt, tanh
from struct import pack, unpack

from naive import LEAST, add, add_branch, below, dot, layer, norm, relu, shared, softmax, time_step
from naive import send as message

# --- maps ----------------------------------------------------------------------------------------


def places(image):
    """All (row, column) of an image, row by row."""
    return [(y, x) for y in range(len(image[0])) for x in range(len(image[0][0]))]


@cache
def parts(cells, grid):
    """[bin] the cells it meets, as (cell, the part of the cell that lies in it)."""
    met = []
    for i in range(grid):
        low, high = Fraction(i, grid), Fraction(i + 1, grid)
        inside = [
            shared(Fraction(c, cells), Fraction(c + 1, cells), low, high) * cells
            for c in range(cells)
        ]
        met.append([(c, float(part)) for c, part in enumerate(inside) if part > 0])
    return met


def shared_out(channel, grid):
    """Each cell of [row][column] shared out, by area, among the cells of a grid x grid."""
    rows, cols = parts(len(channel), grid), parts(len(channel[0]), grid)
    return [
        [sum(channel[y][x] * a * b for y, a in row for x, b in col) for col in cols] for row in rows
    ]


def averaged(image, grid):
    """The average, by area, of the map under each cell of a grid x grid."""
    share = grid * grid / (len(image[0]) * len(image[0][0]))
    return [[[v * share for v in row] for row in shared_out(channel, grid)] for channel in image]


def convolved(weights, name, image, *, stride=1, padding=0):
    """y_o(p) = b_o + sum over i and d of w_oi(d) x_i(stride p + d - padding)."""
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    height, width, side = len(image[0]), len(image[0][0]), len(weight[0][0])

    def value(o, y, x):
        top, left = stride * y - padding, stride * x - padding
        rows = [d for d in range(side) if 0 <= top + d < height]
        cols = [d for d in range(side) if 0 <= left + d < width]
        return bias[o] + sum(
            kernel[dy][dx] * channel[top + dy][left + dx]
            for kernel, channel in zip(weight[o], image, strict=True)
            for dy in rows
            for dx in cols
        )

    tall, wide = ((n + 2 * padding - side) // stride + 1 for n in (height, width))
    return [[[value(o, y, x) for x in range(wide)] for y in range(tall)] for o in range(len(bias))]


def spread(weights, name, image, *, padding):
    """The transposed convolution: each x_i(p) is added to y_o(p + d - padding), times w_io(d)."""
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    height, width, side = len(image[0]), len(image[0][0]), len(weight[0][0])
    out = [[[b] * width for _ in range(height)] for b in bias]
    for kernels, channel in zip(weight, image, strict=True):
        for kernel, target in zip(kernels, out, strict=True):
            for y, x in places(image):
                for dy in range(side):
                    for dx in range(side):
                        v, u = y + dy - padding, x + dx - padding
                        if 0 <= v < height and 0 <= u < width:
                            target[v][u] += kernel[dy][dx] * channel[y][x]
    return out


def summed(a, b):
    return [add(*rows) for rows in zip(a, b, strict=True)]


def positive(image):
    return [[relu(row) for row in channel] for channel in image]


# --- eqs. 1 and 2, appendix C: what is seen ------------------------------------------------------


def saliency(weights, image, grid=16):
    """f: a projection, two convolutions, a transposed one added to what went in, a last one."""
    entry = averaged(positive(convolved(weights, "project", image)), grid)
    entry = positive(convolved(weights, "down", entry, stride=2))
    inner = positive(convolved(weights, "inner", entry, padding=1))
    up = positive(spread(weights, "up", inner, padding=1))
    joined = [summed(*both) for both in zip(up, entry, strict=True)]
    return positive(convolved(weights, "last", joined, padding=1))


def full_view(weights, image, nodes, grid=7):
    """All g_i: a linear layer over the whole map for each node, and a norm."""
    values = [v for channel in averaged(image, grid) for row in channel for v in row]
    seen = layer(weights, "linear", values)
    width = len(seen) // nodes
    return [norm(weights, "norm", seen[i * width : (i + 1) * width]) for i in range(nodes)]


def wave(k, channels, row, col):
    """Channel k of the map of positions: half for rows, half for columns, in pairs."""
    half = ceil(channels / 2)
    place, k = (row, k) if k < half else (col, k - half)
    count = 0.5 * 16 ** ((k // 2) / max(1, (half - 1) // 2))
    return sin(2 * pi * count * place + (pi / 2 if k % 2 else 0))


def light_view(weights, image, nodes):
    """All g_i: averages of features, and of where they are, weighted by the features there."""
    height, width, channels = len(image[0]), len(image[0][0]), len(weights["norm.weight"])
    where = [
        [wave(k, channels, (y + 0.5) / height, (x + 0.5) / width) for y, x in places(image)]
        for k in range(channels)
    ]
    what = [[v for row in channel for v in row] for channel in image]
    seen = []
    for alpha in attention_maps(weights, "weigh", image)[:nodes]:
        alpha = [v for row in alpha for v in row]
        features = layer(weights, "features", [dot(alpha, channel) for channel in what])
        position = layer(weights, "positions", [dot(alpha, channel) for channel in where])
        seen.append(norm(weights, "norm", add(features, position)))
    return seen


def attention_maps(weights, name, image):
    """Softmax over all places of each channel of a convolution."""
    return softmax_of_maps(convolved(weights, name, image))


def softmax_of_maps(maps):
    width = len(maps[0][0])
    flat = [softmax([v for row in channel for v in row]) for channel in maps]
    return [[v[k : k + width] for k in range(0, len(v), width)] for v in flat]


# --- eqs. 3, 4 and 11 to 14: from there to boxes -------------------------------------------------


def remember(weights, frames):
    """z_i of each frame: one GRU, shared by the nodes, from zero."""
    state = [[0.0] * len(node) for node in frames[0]]
    result = []
    for nodes in frames:
        state = [time_step(weights, m, z, "gru")[0] for m, z in zip(nodes, state, strict=True)]
        result.append(state)
    return result


def reference_points(nodes, kind):
    """(C_x, C_y) of each node: the middle of the frame, or rows of a grid, longer ones first."""
    if kind == "center":
        return [(0.5, 0.5)] * nodes
    rows = 1
    while rows * (rows + 1) < nodes:  # as many rows as columns, or one column more
        rows += 1
    points = []
    for row in range(rows):
        cols = nodes // rows + (1 if row < nodes % rows else 0)
        points += [((c + 0.5) / cols, (row + 0.5) / rows) for c in range(cols)]
    return points


def single(point):
    """As float32 has it: modules keep their points so."""
    return unpack("2f", pack("2f", *point))


def offset_box(raw, point, size, frame=1.0):
    """alpha: raw (x, y, w, h) -> a box, by the paper's formulas in a frame of width `frame`."""

    def delta(offset, c):
        return frame / 2 * tanh(offset + atanh(2 * c / frame - 1)) + frame / 2 - c

    (x, y, w, h), (c_x, c_y) = raw, point
    return c_x + delta(x, c_x), c_y + delta(y, c_y), exp(w) * size, exp(h) * size


def boxes_of(weights, z, points, size):
    """gamma * W_o z_i, then alpha; without weights for the size, it stays as it starts."""
    boxes = []
    for node, point in zip(z, points, strict=True):
        raw = [g * v for g, v in zip(weights["gamma"], layer(weights, "linear", node), strict=True)]
        raw += [0.0] * (4 - len(raw))
        boxes.append(offset_box(raw, point, size))
    return boxes


# --- eqs. 5 to 7 and 10: kernels -----------------------------------------------------------------


def triangle(centre, half, cells):
    """k(p) = max(0, w - |c - p|), not narrower than a cell to each side, over its sum."""
    half = max(half, 1 / cells)
    heights = [max(0.0, half - abs(centre - (p + 0.5) / cells)) for p in range(cells)]
    return [v / sum(heights) for v in heights]


def kernel(box, height, width):
    """[row][column] K(p_x, p_y) = k_x(p_x) k_y(p_y)."""
    cols, rows = triangle(box[0], box[2], width), triangle(box[1], box[3], height)
    return [[row * col for col in cols] for row in rows]


def pooled(image, weights):
    """v = sum of K(p) x_p."""
    return [sum(weights[y][x] * channel[y][x] for y, x in places(image)) for channel in image]


def remapped(nodes, kernels):
    """y_p = sum over i of K_i(p) v_i."""
    return [
        [
            [
                sum(k[y][x] * v[c] for k, v in zip(kernels, nodes, strict=True))
                for x in range(len(kernels[0][0]))
            ]
            for y in range(len(kernels[0]))
        ]
        for c in range(len(nodes[0]))
    ]


def moments(weights):
    """A box of the mean and variance of a map; a triangle of half width r has r^2 / 6."""
    height, width = len(weights), len(weights[0])
    cols = [sum(weights[y][x] for y in range(height)) for x in range(width)]
    found = []
    for profile in (cols, [sum(row) for row in weights]):
        at = [(i + 0.5) / len(profile) for i in range(len(profile))]
        mean = dot(profile, at)
        variance = sum(p * (a - mean) ** 2 for p, a in zip(profile, at, strict=True))
        found.append((mean, sqrt(max(6 * variance, 1e-12))))
    (x, half_x), (y, half_y) = found
    return x, y, half_x, half_y


def given_box(box):
    """No box, or one with a NaN, is the whole frame; centres are moved into it."""
    if box is None or any(isnan(v) for v in box):
        return (0.5, 0.5, 0.5, 0.5)
    x, y, half_x, half_y = box
    return min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0), min(half_x, 1.0), min(half_y, 1.0)


# --- regions -------------------------------------------------------------------------------------


def regions(kind, weights, clip, nodes, *, anchors="center", size=1 / 6, given=None):
    """Boxes [t][i] and kernels [t][i][row][column] of a clip [t][channel][row][column]."""
    height, width = len(clip[0][0]), len(clip[0][0][0])
    points = reference_points(nodes, "grid" if kind == "fixed" else anchors)
    points = [single(point) for point in points]
    if kind == "semantic":
        kernels = [attention_maps(weights, "weigh", image) for image in clip]
        return [[moments(k) for k in frame] for frame in kernels], kernels
    if kind == "keypoints":
        boxes = []
        for image in clip:
            for name in ("encoder.0", "encoder.2"):
                image = positive(convolved(weights, name, image, padding=1))
            found = map(moments, attention_maps(weights, "encoder.4", image))
            boxes.append([(x, y, size, size) for x, y, _, _ in found])
    elif kind == "fixed":
        boxes = [[(x, y, size, size) for x, y in points]] * len(clip)
    elif kind == "given":
        boxes = [[given_box(f[i % len(f)]) for i in range(nodes)] for f in given]
    else:
        if kind == "static":
            z = [weights["latent"]] * len(clip)
        else:
            look = below(weights, "view")
            if kind == "light":
                z = [light_view(look, image, nodes) for image in clip]
            else:
                f = below(weights, "saliency")
                z = [full_view(look, saliency(f, image), nodes) for image in clip]
            if below(weights, "memory"):
                z = remember(below(weights, "memory"), z)
            if kind == "constant":
                z = [z[-1]] * len(clip)
        boxes = [boxes_of(below(weights, "offsets"), frame, points, size) for frame in z]
    return boxes, [[kernel(box, height, width) for box in frame] for frame in boxes]


# --- eqs. 8 and 9: the graph ---------------------------------------------------------------------


def exchange(weights, nodes, residual, masses=None, relations=None):
    """Each node becomes, or adds, the messages from all nodes, weighted by dot products.

    masses: of the nodes; a sender counts by its mass, and one without ends at zero. relations:
    [i][j].
    """
    masses = masses or [1.0] * len(nodes)
    relations = relations or [[()] * len(nodes)] * len(nodes)
    result, attention = [], []
    told = below(weights, "send")
    keys = [layer(weights, "gather.key", node) for node in nodes]
    for node, related in zip(nodes, relations, strict=True):
        query = layer(weights, "gather.query", node)
        logits = [dot(query, key) + log(max(m, LEAST)) for key, m in zip(keys, masses, strict=True)]
        if "gather.relation.0.weight" in weights:
            hidden = [relu(layer(weights, "gather.relation.0", r)) for r in related]
            (own,) = weights["gather.relation.2.weight"]  # of the one head
            logits = [v + dot(own, h) for v, h in zip(logits, hidden, strict=True)]
        alpha = softmax(logits)
        messages = [
            message(told, sender, node, r) for sender, r in zip(nodes, related, strict=True)
        ]
        heard = [dot(alpha, values) for values in zip(*messages, strict=True)]
        result.append(norm(weights, "norm", add(node, heard) if residual else heard))
        attention.append(alpha)
    result = [[v * m for v in node] for node, m in zip(result, masses, strict=True)]
    return result, attention


def graph(weights, frames, rounds, residual, *, adds=False, masses=None, relations=None):
    """K rounds of a GRU over time and messages in space, then a last GRU; frame after frame.

    adds: the GRU adds to the nodes, with a norm but for the last. masses: [t][i].
    relations: [t][i][j].
    """
    nothing = [[0.0] * len(node) for node in frames[0]]
    past = [nothing] * (rounds + 1)
    result, attention = [], []
    for t, nodes in enumerate(frames):
        attention.append([])
        here = masses and masses[t], relations and relations[t]
        for k in range(rounds + 1):
            own = below(weights, "stages.time" if k < rounds else "stages.final")
            past[k] = told = [
                time_step(own, v, h, "gru")[0] for v, h in zip(nodes, past[k], strict=True)
            ]
            nodes = [add(*both) for both in zip(nodes, told, strict=True)] if adds else told
            if k < rounds and "norm.weight" in own:
                nodes = [norm(own, "norm", v) for v in nodes]
            if k < rounds:
                own = below(weights, "stages.space")
                nodes, alpha = exchange(own, nodes, residual, *here)
                attention[-1].append([alpha])  # one head
        result.append(nodes)
    return result, attention


def dyreg(
    clip,
    weights,
    kind="dynamic",
    *,
    nodes=9,
    rounds=3,
    residual=True,
    readout="map",
    grid=16,
    **where,
):
    """A clip [t][c][y][x] -> the readout, boxes and attention, with the weights of a block."""
    boxes, kernels = regions(kind, below(weights, "regions"), clip, nodes, **where)
    frames = []
    for image, frame in zip(clip, kernels, strict=True):
        pools = [pooled(image, k) for k in frame]
        if "project.weight" in weights:
            pools = [layer(weights, "project", v) for v in pools]
        pictures = [[v for row in shared_out(k, grid) for v in row] for k in frame]
        codes = [layer(weights, "where.linear", picture) for picture in pictures]
        known = [add(*both) for both in zip(pools, codes, strict=True)]
        frames.append([norm(weights, "norm", v) for v in known])

    frames, attention = graph(below(weights, "recurrence"), frames, rounds, residual)
    if readout == "vector":
        return add(*frames[-1]), boxes, attention
    if readout == "mean-vector":
        total = add(*[add(*frame) for frame in frames])
        return [v / len(frames) for v in total], boxes, attention
    maps = []
    for image, frame, spreading in zip(clip, frames, kernels, strict=True):
        if "project_back.weight" in weights:
            frame = [layer(weights, "project_back", v) for v in frame]
        maps.append(add_branch(image, remapped(frame, spreading), weights))
    return maps, boxes, attention
