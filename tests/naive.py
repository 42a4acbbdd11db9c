"""Every equation of the RSTG paper again: plain Python, one number at a time, frame by frame.

Nothing here imports the package or torch. Maps are nested lists [channel][row][column], nodes are
lists of lists, weights are nested lists under the names of a state dict.
"""

from fractions import Fraction
from math import exp, log, sqrt, tanh

# --- regions: exact rational arithmetic ----------------------------------------------------------


def cells(scales):
    """(left, top, right, bottom) of all cells, grid by grid, row by row."""
    for s in scales:
        for row in range(s):
            for col in range(s):
                yield tuple(Fraction(k, s) for k in (col, row, col + 1, row + 1))


def shared(low_a, high_a, low_b, high_b):
    return min(high_a, high_b) - max(low_a, low_b)


def adjacency(scales):
    """[i][j]: the boxes i and j share more than a corner point, and are not the same node."""
    boxes = list(cells(scales))

    def joined(a, b):
        x, y = shared(a[0], a[2], b[0], b[2]), shared(a[1], a[3], b[1], b[3])
        return x >= 0 and y >= 0 and (x > 0 or y > 0)

    return [[i != j and joined(a, b) for j, b in enumerate(boxes)] for i, a in enumerate(boxes)]


def covered(box, height, width):
    """[row][column]: the part of each cell of an H x W map that lies in the box."""
    left, top, right, bottom = box
    part = [
        [
            max(shared(left, right, Fraction(x, width), Fraction(x + 1, width)), 0)
            * max(shared(top, bottom, Fraction(y, height), Fraction(y + 1, height)), 0)
            for x in range(width)
        ]
        for y in range(height)
    ]
    return [[float(value * height * width) for value in row] for row in part]


def area_pool(image, scales):
    """The average of the map under each box."""
    height, width = len(image[0]), len(image[0][0])
    nodes = []
    for box in cells(scales):
        part = covered(box, height, width)
        total = sum(map(sum, part))
        nodes.append(
            [
                sum(part[y][x] * channel[y][x] for y in range(height) for x in range(width)) / total
                for channel in image
            ]
        )
    return nodes


def enlarge(nodes, scales, height, width):
    """Each grid enlarged to the map by area, summed over the scales."""
    parts = [covered(box, height, width) for box in cells(scales)]
    return [
        [
            [
                sum(part[y][x] * node[c] for part, node in zip(parts, nodes, strict=True))
                for x in range(width)
            ]
            for y in range(height)
        ]
        for c in range(len(nodes[0]))
    ]


def position_maps(scales, size=6, sigma=2.0):
    """Ones in the box, zeros elsewhere, then a two-dimensional Gaussian filter."""
    weight = [exp(-(d**2) / (2 * sigma**2)) for d in range(10 * size)]
    total = weight[0] + 2 * sum(weight[1:])
    places = [(y, x) for y in range(size) for x in range(size)]
    maps = []
    for box in cells(scales):
        ones = covered(box, size, size)
        maps.append(
            [
                sum(ones[v][u] * weight[abs(y - v)] * weight[abs(x - u)] for v, u in places)
                / total**2
                for y, x in places
            ]
        )
    return maps


# --- layers --------------------------------------------------------------------------------------


def linear(weight, bias, x):
    bias = bias or [0.0] * len(weight)
    return [
        b + sum(w * v for w, v in zip(row, x, strict=True))
        for row, b in zip(weight, bias, strict=True)
    ]


def layer(weights, name, x):
    return linear(weights[f"{name}.weight"], weights.get(f"{name}.bias"), x)


def relu(x):
    return [max(v, 0.0) for v in x]


def add(*xs):
    return [sum(values) for values in zip(*xs, strict=True)]


def dot(x, y):
    return sum(a * b for a, b in zip(x, y, strict=True))


def sigmoid(v):
    return 1 / (1 + exp(-v))


def normalised(weight, bias, x, eps=1e-5):
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    return [
        w * (v - mean) / sqrt(variance + eps) + b for v, w, b in zip(x, weight, bias, strict=True)
    ]


def norm(weights, name, x):
    return normalised(weights[f"{name}.weight"], weights[f"{name}.bias"], x)


def below(weights, name):
    """The weights whose names start so, without that start."""
    return {k[len(name) + 1 :]: v for k, v in weights.items() if k.startswith(name + ".")}


def count_layers(weights, name):
    return sum(k.startswith(name) and k.endswith(".weight") for k in weights)


# --- the space stage -----------------------------------------------------------------------------


def send(weights, sender, receiver, relation=()):
    """m_ij = MLP_s([v_j | v_i | e_ij]), with or without e_ij."""
    parts = [("sender", sender), ("receiver", receiver), *[("relation", relation)] * bool(relation)]
    message = relu(add(*(layer(weights, name, part) for name, part in parts)))
    for k in range(count_layers(weights, "deeper.")):
        message = relu(layer(weights, f"deeper.{k}", message))
    return message


def softmax(logits):
    if not logits:
        return []
    raised = [exp(v - max(logits)) for v in logits]
    return [v / sum(raised) for v in raised]


LEAST = 1e-4  # what a silent node still weighs


def gather(weights, kind, heads, node, senders, messages, masses=None, scaled=False, related=None):
    """What a node makes of its messages: (gathered, [head][sender] attention).

    masses: of the senders; a sender counts by its mass. related: [sender], where weights weigh it.
    """
    width = len(node)
    if kind in ("sum", "mean"):
        shares = [1.0] * len(senders) if masses is None else masses
        if kind == "mean":
            total = max(sum(shares), 1.0 if masses is None else LEAST)
            shares = [v / total for v in shares]
        return [dot(shares, [m[d] for m in messages]) for d in range(width)], [shares]
    query = layer(weights, "query", node)
    keys = [layer(weights, "key", sender) for sender in senders]
    part = width // heads
    gathered, attention = [], []
    for h in range(heads):
        chunk = slice(h * part, (h + 1) * part)
        if kind == "dot":
            logits = [dot(query[chunk], key[chunk]) for key in keys]
        else:
            logits = [query[h] + key[h] for key in keys]
            logits = [v if v > 0 else 0.2 * v for v in logits]
        if scaled:
            logits = [v / sqrt(part) for v in logits]
        if "relation.0.weight" in weights:
            bias = [relu(layer(weights, "relation.0", r)) for r in related]
            own = weights["relation.2.weight"][h]
            logits = [v + dot(own, b) for v, b in zip(logits, bias, strict=True)]
        if masses is not None:
            logits = [v + log(max(m, LEAST)) for v, m in zip(logits, masses, strict=True)]
        alpha = softmax(logits)
        seen = messages
        if heads > 1:
            matrix, bias = weights["message.linear.weight"], weights["message.linear.bias"]
            seen = [linear(matrix[chunk], bias[chunk], m) for m in messages]
        gathered += [sum(a * m[d] for a, m in zip(alpha, seen, strict=True)) for d in range(part)]
        attention.append(alpha)
    return gathered, attention


def update(weights, group, node, gathered):
    """MLP_u([v_i | g_i]), with the weights of this group of nodes; residual: v_i + that."""
    if below(weights, "update"):
        return add(node, update(below(weights, "update"), group, node, gathered))
    x = node + gathered
    for k in range(count_layers(weights, f"mlps.{group}.")):
        x = relu(layer(weights, f"mlps.{group}.{k}", x))
    return x


def space_stage(
    weights,
    nodes,
    heard,
    *,
    kind="dot",
    heads=1,
    groups=None,
    codes=None,
    past=None,
    masses=None,
    relations=None,
    scaled=False,
):
    """One exchange of messages in one frame.

    heard: [i] the senders that i hears. past: each node's own past as one more neighbour, always
    heard. masses: of the nodes; one without a mass ends at zero. relations: [i][j].
    Returns the nodes and the attention [head][receiver][sender], without the past.
    """
    codes = codes or [[] for _ in nodes]
    result, attention = [], [[[0.0] * len(nodes) for _ in nodes] for _ in range(heads)]
    for i, node in enumerate(nodes):
        senders, sent = [nodes[j] for j in heard[i]], [nodes[j] + codes[j] for j in heard[i]]
        if past is not None:
            senders, sent = [*senders, past[i]], [*sent, past[i] + codes[i]]
        related = [relations[i][j] for j in heard[i]] if relations else [()] * len(sent)
        told = below(weights, "send")
        messages = [
            send(told, sender, node + codes[i], r) for sender, r in zip(sent, related, strict=True)
        ]
        own = None if masses is None else [masses[j] for j in heard[i]] + [1.0] * (past is not None)
        gathered, alpha = gather(
            below(weights, "gather"), kind, heads, node, senders, messages, own, scaled, related
        )
        group = groups[i] if groups else 0
        new = update(below(weights, "update"), group, node, gathered)
        new = norm(weights, "norm", new) if "norm.weight" in weights else new
        result.append(new if masses is None else [v * masses[i] for v in new])
        for h in range(heads):
            for j, value in zip(heard[i], alpha[h], strict=False):
                attention[h][i][j] = value
    return result, attention


# --- the time stage ------------------------------------------------------------------------------


def time_step(weights, x, memory, cell):
    """One frame of one node: (output, memory)."""
    width = len(x)
    fresh = linear(weights["cell.weight_ih_l0"], weights["cell.bias_ih_l0"], x)
    hidden = memory[:width]
    old = linear(weights["cell.weight_hh_l0"], weights["cell.bias_hh_l0"], hidden)

    def gates(values):
        return [values[k * width : (k + 1) * width] for k in range(len(values) // width)]

    if cell == "lstm":
        i, f, g, o = gates(add(fresh, old))
        past = memory[width:]
        kept = [
            sigmoid(f[d]) * past[d] + sigmoid(i[d]) * tanh(g[d]) for d in range(width)
        ]  # what the cell remembers
        shown = [sigmoid(o[d]) * tanh(kept[d]) for d in range(width)]
        return shown, shown + kept
    reset, keep, candidate = zip(gates(fresh), gates(old), strict=True)
    shown = []
    for d in range(width):
        r, z = sigmoid(reset[0][d] + reset[1][d]), sigmoid(keep[0][d] + keep[1][d])
        n = tanh(candidate[0][d] + r * candidate[1][d])
        shown.append((1 - z) * n + z * hidden[d])
    return shown, shown


# --- algorithm 1 ---------------------------------------------------------------------------------

SCHEDULES = {
    "all-temp": lambda rounds: ["time", "space"] * rounds + ["final"],
    "1-temp": lambda rounds: ["space"] * rounds + ["final"],
    "space-only": lambda rounds: ["space"] * rounds + ["mean"],
    "time-only": lambda rounds: ["final"],
    "homogeneous": lambda rounds: ["both"] * rounds,
}


def recurrence(
    weights, frames, names, *, cell="lstm", adds=False, masses=None, relations=None, **space
):
    """Frames [t][i][d] -> nodes [t][i][d], attention [t][round][head][i][j].

    The loop over time is outermost: all rounds of a frame, then the next frame. adds: time stages
    add to the nodes. masses: [t][i]. relations: [t][i][j].
    """
    width = len(frames[0][0])
    nothing = [0.0] * (2 * width if cell == "lstm" else width)
    memory = [
        {
            i: (nothing if name in ("time", "final") else [0.0] * width)
            for i in range(len(frames[0]))
        }
        for name in names
    ]
    result, attention = [], []
    for t, nodes in enumerate(frames):
        attention.append([])
        space["masses"] = None if masses is None else masses[t]
        space["relations"] = None if relations is None else relations[t]
        for k, name in enumerate(names):
            own = below(weights, f"stages.{name}")
            if name == "space":
                nodes, alpha = space_stage(own, nodes, **space)
                attention[t].append(alpha)
            elif name == "both":
                past = [memory[k][i] for i in range(len(nodes))]
                nodes, alpha = space_stage(below(own, "space"), nodes, past=past, **space)
                memory[k] = dict(enumerate(nodes))
                attention[t].append(alpha)
            elif name == "mean":
                memory[k] = {i: add(memory[k][i], node) for i, node in enumerate(nodes)}
                nodes = [[v / (t + 1) for v in memory[k][i]] for i in range(len(nodes))]
            else:
                stepped = [time_step(own, v, memory[k][i], cell) for i, v in enumerate(nodes)]
                told = [shown for shown, _ in stepped]
                nodes = [add(*both) for both in zip(nodes, told, strict=True)] if adds else told
                if name == "time" and "norm.weight" in own:  # the last has none
                    nodes = [norm(own, "norm", v) for v in nodes]
                memory[k] = {i: kept for i, (_, kept) in enumerate(stepped)}
        result.append(nodes)
    return result, attention


def rstg(
    clip,
    weights,
    *,
    scales=(3, 2, 1),
    rounds=3,
    schedule="all-temp",
    cell="lstm",
    gather="dot",
    heads=1,
    positional=False,
    update_per_scale=False,
    adjacency_kind="sparse",
    readout="map",
):
    """A clip [t][c][y][x] -> the readout and the attention, with the weights of a block."""
    height, width = len(clip[0][0]), len(clip[0][0][0])
    count = sum(s * s for s in scales)
    joined = adjacency(scales)
    frames = []
    for image in clip:
        nodes = area_pool(image, scales)
        if "project.weight" in weights:
            nodes = [layer(weights, "project", v) for v in nodes]
        frames.append([norm(weights, "norm", v) for v in nodes])

    frames, attention = recurrence(
        below(weights, "recurrence"),
        frames,
        SCHEDULES[schedule](rounds),
        cell=cell,
        kind=gather,
        heads=heads,
        heard=[
            [j for j in range(count) if adjacency_kind == "full" or joined[i][j]]
            for i in range(count)
        ],
        groups=[k for k, s in enumerate(scales) for _ in range(s * s)]
        if update_per_scale
        else None,
        codes=position_maps(scales) if positional else None,
    )
    if readout == "vector":
        return add(*frames[-1]), attention
    if readout == "mean-vector":
        return [v / len(frames) for v in add(*[add(*nodes) for nodes in frames])], attention
    maps = []
    for image, nodes in zip(clip, frames, strict=True):
        if "project_back.weight" in weights:
            nodes = [layer(weights, "project_back", v) for v in nodes]
        maps.append(add_branch(image, enlarge(nodes, scales, height, width), weights))
    return maps, attention


def add_branch(image, branch, weights):
    """Features + norm over channels of the branch."""
    out = [[list(row) for row in channel] for channel in image]
    for y in range(len(image[0])):
        for x in range(len(image[0][0])):
            column = norm(weights, "branch", [channel[y][x] for channel in branch])
            for c, value in enumerate(column):
                out[c][y][x] += value
    return out
