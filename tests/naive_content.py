"""Motion, nodes bound to content and to objects, sharp places: plain Python, number by number.

As in `naive` and `naive_dyreg`, nothing here imports the package or torch. A map is [row][column],
a place (x, y) in [0, 1] of the frame; cell i of W has its centre at (i + 0.5)/W.
"""

from math import cos, exp, log, pi, sin

from naive import add, below, dot, layer, norm, recurrence, sigmoid, softmax
from naive_dyreg import convolved, graph, moments, places, pooled

# --- where a node is, and how it moves -----------------------------------------------------------


def waves(values, frequencies):
    """For each value the sines, then the cosines, of all frequencies."""
    return [f(2 * pi * v * k) for v in values for f in (sin, cos) for k in frequencies]


def wave_position(weights, place, mass, identity=None, frequencies=(0.25, 0.5, 1.0, 2.0)):
    """W [sines and cosines of the centre | mass], and the code of the node."""
    code = layer(weights, "linear", [*waves(place, frequencies), mass])
    return code if identity is None else add(code, weights["identity"][identity])


def moved(path, t, *, scale=10.0, reach=0.25):
    """The step of a node into frame t > 0, cut and scaled."""
    return [
        scale * min(max(b - a, -reach), reach) for a, b in zip(path[t - 1], path[t], strict=True)
    ]


def motion(weights, path, masses, *, frequencies=(0.125, 0.25, 0.5, 1.0), **units):
    """The codes [t] of a node that was at path [t] with masses [t]."""
    codes = []
    for t in range(len(path)):
        told = [0.0] * (2 + 4 * len(frequencies))
        if t > 0:
            step = moved(path, t, **units)
            there = masses[t] * masses[t - 1]
            told = [there * v for v in step + waves(step, frequencies)]
        codes.append(layer(weights, "linear", told))
    return codes


def relative_motion(paths, masses, *, scales=(0.1, 0.2, 0.4, 0.8), decay=0.9, **units):
    """[t][i][j]: for each scale how alike i and j moved so far, then how much was seen of both.

    paths, masses: of each node, [i][t].
    """
    nodes, result = range(len(paths)), []
    for t in range(len(paths[0])):
        result.append([[None] * len(nodes) for _ in nodes])
        for i in nodes:
            for j in nodes:
                alike, seen = [0.0] * len(scales), 0.0
                for when in range(1, t + 1):
                    steps = (moved(paths[n], when, **units) for n in (i, j))
                    apart = far(*steps)
                    w = decay ** (t - when)
                    for n in (i, j):
                        w *= masses[n][when] * masses[n][when - 1]
                    alike = [
                        v + w * exp(-apart / (2 * s**2)) for v, s in zip(alike, scales, strict=True)
                    ]
                    seen += w
                told = [v / max(seen, 0.1) for v in alike]
                result[t][i][j] = [*told, seen * (1 - decay)]
    return result


# --- nodes that are bound to content -------------------------------------------------------------


def centre(p, channel):
    y, x = p
    return (x + 0.5) / len(channel[0]), (y + 0.5) / len(channel)


def far(a, b):
    """The square of the distance of two places."""
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2


def distribution(logits, channel):
    """Softmax of {place: logit}, as [row][column], zero elsewhere."""
    shares = dict(zip(logits, softmax(list(logits.values())), strict=True))
    return [[shares.get((y, x), 0.0) for x in range(len(channel[0]))] for y in range(len(channel))]


def content(weights, image, *, window=0.15, softness=4.0):
    """Of each kind: its box, kernel and mass."""
    boxes, kernels, masses = [], [], []
    for channel in convolved(weights, "maps", image):
        cells = places([channel])
        best = centre(max(cells, key=lambda p: channel[p[0]][p[1]]), channel)
        logits = {
            p: channel[p[0]][p[1]] / softness - far(centre(p, channel), best) / (2 * window**2)
            for p in cells
        }
        kernels.append(distribution(logits, channel))
        boxes.append(moments(kernels[-1]))
        masses.append(sigmoid(log(sum(exp(channel[y][x]) for y, x in cells)) - log(4)))
    return boxes, kernels, masses


# --- nodes that follow objects -------------------------------------------------------------------


def within(p, q, channel, reach):
    """Whether two cells are nearer than reach along x and along y."""
    a, b = centre(p, channel), centre(q, channel)
    return abs(a[0] - b[0]) < reach and abs(a[1] - b[1]) < reach


def found(maps, nodes, *, apart, extent, softness):
    """The N highest peaks of a frame: [(box, kernel, mass, kind)]."""
    channel, cells = maps[0], places(maps)

    def high(k, p):
        return exp(maps[k][p[0]][p[1]])

    kinds = range(len(maps))
    saliency = {p: log(sum(high(k, p) for k in kinds)) for p in cells}
    peaks = [
        p
        for p in cells
        if all(saliency[q] <= saliency[p] for q in cells if within(p, q, channel, apart))
    ]
    peaks = sorted(peaks, key=lambda p: -saliency[p])[:nodes]
    assert len(peaks) == nodes, "too few peaks to say which they are"
    seen = []
    for peak in peaks:
        near = [p for p in cells if within(peak, p, channel, apart)]
        scores = [log(sum(high(k, p) for p in near)) - log(4) for k in kinds]
        kind = softmax(scores)
        own = {
            p: log(sum(kind[k] * high(k, p) for k in kinds)) / softness
            for p in cells
            if within(peak, p, channel, extent)
        }
        kernel = distribution(own, channel)
        seen.append((moments(kernel), kernel, max(scores), kind))
    result = []
    for box, kernel, score, kind in seen:
        mass = sigmoid(score)
        for other, _, better, its in seen:
            if better > score:
                close = exp(-far(box, other) / (2 * apart**2))
                mass *= 1 - sigmoid(better) * dot(kind, its) * close
        result.append((box, kernel, mass, kind))
    return result


def matched(affinity):
    """[i] the peak of node i: pairs from the largest on."""
    free = [(i, j) for i in range(len(affinity)) for j in range(len(affinity))]
    order = {}
    while free:
        i, j = max(free, key=lambda pair: affinity[pair[0]][pair[1]])  # the first of equals
        order[i] = j
        free = [(a, b) for a, b in free if a != i and b != j]
    return [order[i] for i in range(len(affinity))]


def objects(weights, clip, nodes, *, apart=0.05, extent=0.09, reach=0.04, softness=4.0):
    """Boxes [t][i], kernels [t][i], masses [t][i] of a clip, and what is remembered at its end."""
    newborn, fade, lookalike = 1e-3, 0.8, 0.1
    kinds = len(weights["maps.bias"])
    memory = [((0.0, 0.0), 0.0, [0.0] * kinds) for _ in range(nodes)]
    frames = []
    for image in clip:
        peaks = found(
            convolved(weights, "maps", image), nodes, apart=apart, extent=extent, softness=softness
        )
        affinity = []
        for place, sure, kind in memory:
            row = []
            for box, _, mass, its in peaks:
                alike = lookalike + (1 - lookalike) * dot(kind, its)
                close = exp(-far(place, box) / (2 * reach**2))
                row.append(mass * (sure * close * alike + (1 - sure) * newborn))
            affinity.append(row)
        frames.append([peaks[j] for j in matched(affinity)])
        known = []
        for (place, old, kind), (box, _, new, its) in zip(memory, frames[-1], strict=True):
            trust = new / max(new + fade * old * (1 - new), 1e-6)
            place = [a + trust * (b - a) for a, b in zip(place, box[:2], strict=True)]
            kind = [a + trust * (b - a) for a, b in zip(kind, its, strict=True)]
            known.append((place, max(new, fade * old), kind))
        memory = known
    boxes, kernels, masses = ([[node[k] for node in nodes] for nodes in frames] for k in range(3))
    return boxes, kernels, masses, [[*place, sure, *kind] for place, sure, kind in memory]


# --- sharp places --------------------------------------------------------------------------------


def sharp(weights, image, kernels, *, compete=False):
    """Kernels k'_n(p) ~ k_n(p) exp(s_n(p)), and their centres."""
    maps = convolved(weights, "maps", image)
    cells = places(maps)
    if compete:
        shares = {p: softmax([channel[p[0]][p[1]] for channel in maps]) for p in cells}
    sharpened, centres = [], []
    for n, kernel in enumerate(kernels):
        channel = maps[n if len(maps) > 1 else 0]
        raised = {
            (y, x): kernel[y][x] * (shares[y, x][n] if compete else exp(channel[y][x]))
            for y, x in cells
        }
        total = sum(raised.values())
        new = [[raised[y, x] / total for x in range(len(channel[0]))] for y in range(len(channel))]
        sharpened.append(new)
        centres.append(moments(new)[:2])
    return sharpened, centres


# --- the whole graph -----------------------------------------------------------------------------


def entry(clip, weights, regions, *, identities=False, moves=False):
    """What nodes are before the first stage, [t][i], with the weights of a block.

    regions: boxes, kernels and masses, [t][i] each. identities: each node has a code of its own.
    """
    boxes, kernels, masses = regions
    steps = [None] * len(boxes[0])
    if moves:
        steps = [
            motion(below(weights, "motion"), [box[:2] for box in path], mass)
            for path, mass in zip(zip(*boxes, strict=True), zip(*masses, strict=True), strict=True)
        ]
    frames = []
    for t, image in enumerate(clip):
        nodes = []
        for i, steps_of in enumerate(steps):
            node = norm(weights, "project.0", pooled(image, kernels[t][i]))
            node = layer(weights, "project.1", node)
            own = i if identities else None
            where = below(weights, "where")
            node = add(node, wave_position(where, boxes[t][i][:2], masses[t][i], own))
            node = add(node, steps_of[t]) if moves else node
            nodes.append(norm(weights, "norm", node))
        frames.append(weighed(nodes, masses[t]))
    return frames


def weighed(nodes, masses):
    return [[v * m for v in node] for node, m in zip(nodes, masses, strict=True)]


def spoken(frames, masses):
    """The sum of the nodes of each frame."""
    return [add(*weighed(*both)) for both in zip(frames, masses, strict=True)]


def related(regions):
    """How alike the nodes of `regions` moved, [t][i][j]."""
    boxes, _, masses = regions
    paths = [[box[:2] for box in path] for path in zip(*boxes, strict=True)]
    return relative_motion(paths, list(zip(*masses, strict=True)))


def rstg(
    clip, weights, regions, names, *, identities=False, moves=False, relative=False, **options
):
    """A clip -> the vector as of each frame. names: of stages; options: of `naive.recurrence`."""
    frames, masses = entry(clip, weights, regions, identities=identities, moves=moves), regions[2]
    options |= {"heard": [list(range(len(masses[0])))] * len(masses[0]), "masses": masses}
    options |= {"relations": related(regions) if relative else None}
    frames, _ = recurrence(below(weights, "recurrence"), frames, names, **options)
    return spoken(frames, masses)


def dyreg(clip, weights, regions, rounds, *, residual=True, adds=False, relative=False, **options):
    """A clip -> the vector as of each frame."""
    frames, masses = entry(clip, weights, regions, **options), regions[2]
    more = {"masses": masses, "relations": related(regions) if relative else None}
    own = below(weights, "recurrence")
    frames, _ = graph(own, frames, rounds, residual, adds=adds, **more)
    return spoken(frames, masses)
