"""The stories of docs/costs.md: what some printed costs leave out, each told by the counts themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmark.cost.audit import PLAIN
from benchmark.report.cost_figures import Costs, check, comparison, g, paragraph, shown


def _one_resnet(costs: Costs) -> list[str]:
    prints = [
        costs.at("bqn-3a", "Quiet", "gmacs"),
        costs.at("thesis-4.6", "SS V1 | baseline", "gmacs"),
        costs.at("msnet-1", "TSM | 8x1", "gmacs"),
        costs.at("msnet-7", "TSM-R50 | -", "gmacs"),
        costs.at("da-7", "TSM R50", "gmacs"),
    ]
    x3d = [
        costs.at("da-1", "X3D-M | RGB", "gmacs"),
        costs.at("bqn-4", "X3D-M | - | 16x3x2", "gmacs"),
        costs.at("da-2", "X3D-M", "gmacs_video"),
        costs.at("bqn-5", "X3D-M | - | 16x30", "gmacs_video"),
    ]
    near = sorted(cost.printed for cost in prints[:-1])
    span = near[-1] - near[0]
    connections = costs.at("bqn-3b", "16", "gmacs").printed - costs.at("bqn-3b", "0", "gmacs").printed
    check(len({cost.full for cost in prints}) == 1, "five rows are one ResNet-50")
    check(x3d[0].full == x3d[1].full and x3d[2].full == x3d[3].full, "two pairs of rows are one X3D-M each")
    check(all(cost.verdict.reproduced for cost in (*prints, *x3d)), "every print of the two networks has a reading")
    check([x3d[0].verdict.how, x3d[1].verdict.how] == ["truncated", "rounded"], "X3D-M is truncated, then rounded")
    check([x3d[2].cell.convention, x3d[3].cell.convention] == ["fvcore_2021", "fvcore_core"], "BQN leaves out norms")
    check(prints[-1].side > prints[0].side, "DA 7 counts ResNet-50 on a larger crop")
    check(span > connections > 0, "prints of one ResNet-50 differ by more than sixteen connections add")
    return [
        paragraph(f"""
            TSM-ResNet-50 on {prints[0].config.data.segments} frames of {prints[0].side} pixels takes
            {g(prints[0].full)} G in full: the shift moves data and costs nothing. It is printed as
            {", ".join(cost.text for cost in prints[:-1])} and, on {prints[-1].side} pixels, as {prints[-1].text}. The
            same X3D-M is {x3d[0].text} and {x3d[1].text}, truncated and rounded, and over all views {x3d[2].text} and
            {x3d[3].text}, with and without its batch normalisation.
        """),
        comparison([*prints, *x3d]),
        paragraph(f"""
            On one crop the prints of this one network span {g(span)} G. All sixteen lateral connections of BQN are
            printed to add {g(connections)} G.
        """),
    ]


def _matrix_products(costs: Costs) -> list[str]:
    models = ("baseline", "+ 5 NL", "+ 5 RNL", "+ 5 [SE+RNL]")
    base, nl, rnl, chain = (costs.at("thesis-4.6", f"K400 | {model}", "gmacs") for model in models)
    weights = [costs.at("thesis-4.6", f"K400 | {model}", "mparams") for model in models[1:]]
    block = [costs.at("thesis-4.3", label, "insert_gmacs") for label in ("channel-wise conv", "average pooling")]
    block_weights = [costs.at("thesis-4.3", cost.row.label, "insert_mparams") for cost in block]
    shown = [base, nl, rnl, chain, *weights, *block, *block_weights]
    released = rnl.recount(PLAIN, rnl.cell.variant)
    less, less_printed = nl.full - rnl.full, nl.printed - rnl.printed
    check(all(cost.verdict.reproduced for cost in shown), "the costs of the thesis' blocks are reproduced")
    check(all(cost.cell.convention == "thop_2001" for cost in shown), "by a counter that is blind to products")
    check(nl.full - base.full > 2 * (nl.printed - base.printed), "NL blocks cost more than twice what is printed")
    check(0 < less < less_printed, "RNL takes less than NL, by less than is printed")
    check(released > nl.full, "the released form of RNL takes more than NL")
    check(weights[1].full < weights[1].printed, "RNL has fewer parameters than are printed")
    check(block[0].printed == block[1].printed, "the aggregators are printed with one cost")
    check(block[1].full < block[0].full, "pooling takes less than the convolution")
    return [
        paragraph(f"""
            Self-attention is two products of matrices, and a counter that hooks modules sees neither. The thesis prints
            {nl.text} G for a network with five non-local blocks and {rnl.text} G for one with five of its RNL blocks,
            and such a counter gives exactly that. In full they take {g(nl.full)} and {g(rnl.full)} G: the blocks of
            NL add {g(nl.full - base.full)} G and not {g(nl.printed - base.printed)}. The parameters err the other
            way. The released code keeps a channel-wise kernel as a dense one under a fixed mask, and the counter takes
            both for parameters: {weights[1].text} M are printed for RNL, which needs {g(weights[1].full)}.
        """),
        comparison(shown, in_full_as_released=[cost.recount(PLAIN, cost.cell.variant) for cost in shown]),
        paragraph(f"""
            What the thesis concludes of RNL, "{costs.claim("thesis-4.6.05")}", is {g(less)} in full:
            {less / nl.full:.0%} less than NL and not {less_printed / nl.printed:.0%}. As released, with the masked
            kernels multiplied out, RNL takes {g(released)} G, {g(released - nl.full)} G more than NL. Of one block
            the thesis says that "{costs.claim("thesis-4.3.04")}" than the convolution, and prints {block[0].text} G for
            both; in full they take {g(block[1].full)} and {g(block[0].full)} G.
        """),
    ]


def _motion_squeeze(costs: Costs) -> list[str]:
    small = [costs.at("msnet-3", label, "gmacs") for label in ("baseline", "KS + CM", "KS + CM + BD")]
    alone = costs.at("msnet-5", "MS only", "gmacs")
    large = [costs.at("msnet-7", label, "gmacs") for label in ("TSM-R50 | -", "MSNet-R50 | ours")]
    pair = [costs.at("msnet-1", f"{model} | 8x1", "gmacs") for model in ("TSM", "MSNet-R50 (ours)")]
    weights = [costs.at("msnet-1", cost.row.label, "mparams") for cost in pair]
    channels = large[1].config.model_dump()["model"]["motion_squeeze"]["reduced"]
    wider = large[1].recount(large[1].cell.convention, {"model.motion_squeeze.reduced": HALF_OF_RES3})
    printed, theirs = pair[1].printed / pair[0].printed - 1, pair[1].verdict.count / pair[0].verdict.count - 1
    full, full_weights = pair[1].full / pair[0].full - 1, weights[1].full / weights[0].full - 1
    check(all(cost.verdict.reproduced for cost in (*small[:2], *large, *pair)), "MotionSqueeze's costs are reproduced")
    check(not small[0].gives(small[0].full), "fvcore does not give the print of TSM-ResNet-18")
    check(channels < HALF_OF_RES3 and not large[1].gives(wider), "half of the channels do not give MSNet-R50's print")
    check(alone.printed < small[0].printed <= small[0].full + 0.1 < alone.full, "'MS only' is below its baseline")
    check(not alone.verdict.reproduced and not weights[1].verdict.reproduced, "two prints of MSNet have no reading")
    check(full < theirs < printed, "MSNet adds less than the rounded prints say")
    return [
        paragraph(f"""
            MotionSqueeze's counter takes four operations for an element of a batch normalisation, where others take two
            or none, and its authors add the correlation by hand, multiplications and additions apart, although those of
            a convolution count as one. The former is why TSM-ResNet-18 is printed as {small[0].text} G; in full it is
            {g(small[0].full)}. The {large[1].text} G of MSNet-R50 also tell how many channels are correlated: the
            released code has {channels} everywhere, the text half of what comes in, which would cost {g(wider)} G.
        """),
        comparison([*small, alone, *large, *pair, *weights]),
        paragraph(f"""
            MSNet comes "{costs.claim("msnet-1.05")} {costs.claim("msnet-1.06")}", says the paper. Its operations are
            {theirs:.1%} more by the authors' own counter and {full:.1%} in full (the whole GFLOPs of the table would
            make it {printed:.1%}), and its parameters {full_weights:.1%}: {weights[0].text} M become
            {g(weights[1].verdict.count)} and not {weights[1].text}. "MS only" leaves out an addition and is printed
            {g(small[0].printed - alone.printed)} G below a network without MotionSqueeze, which no counter will give.
        """),
    ]


HALF_OF_RES3 = 256
"""Half of the channels that MotionSqueeze gets in ResNet-50."""


def _busy_quiet(costs: Costs) -> list[str]:
    none, every = (costs.at("bqn-3b", label, "gmacs") for label in ("0", "16"))
    small = costs.at("bqn-3d", "160^2x8 | 256^2x8", "gmacs")
    mbpm = costs.at("bqn-1", "MBPM", "extra_gmacs")
    x3d, tsm = costs.at("bqn-4", "X3D-M | - | 16x3x2", "gmacs"), costs.at("bqn-4", "TSM R50 | R50 | 16x1x1", "gmacs")
    light = costs.at("bqn-4", "BQN | None, X3D-M | 48x3x2", "gmacs")
    weights = costs.at("bqn-4", light.row.label, "mparams")
    shown = [none, every, small, mbpm, tsm, x3d, light, weights]
    linear = every.recount(PLAIN, {"model.lateral.phi": "conv1x1"})
    same = weights.recount(weights.cell.convention, light.cell.variant)
    saved, saved_full = every.printed - small.printed, every.full - small.full
    check(all(cost.verdict.reproduced for cost in shown), "BQN's costs are reproduced")
    check(every.cell.variant == {"model.lateral.direction": "bidirectional"}, "both directions are counted")
    check(not none.gives(none.full) and not every.gives(every.full), "fvcore does not give BQN's prints")
    check(mbpm.full > every.printed - none.printed, "one MBPM costs more than the connections are printed to add")
    check(not every.gives(linear) and linear > every.full, "the linear map of the text would show")
    check(saved_full > saved, "small Quiet inputs save more than is printed")
    check(not weights.gives(same), "no one network gives BQN-X3D's operations and parameters")
    check(light.full / x3d.full > light.printed / x3d.printed, "BQN on X3D costs more than is printed")
    return [
        paragraph(f"""
            The Busy pathway begins with an MBPM, and another stands in every connection from Quiet to Busy. A counter
            with rules for known classes alone takes them for nothing; the same paper's Table 1 has {mbpm.text} G for
            one. The connections alternate in the text and are counted in both directions, without the 1x1x1 convolution
            that Eq. 5 suggests; with it BQN would take {g(linear)} G. Of the two networks in the released code one has
            both directions and the convolution, the other neither: the prints are of a third.
        """),
        comparison(shown),
        paragraph(f"""
            A smaller Quiet input "{costs.claim("bqn-3d.02")}", from {every.text} to {small.text}; in full it saves
            {g(saved_full)}, since the connections' MBPMs run at Quiet's size. BQN on X3D-M comes
            "{costs.claim("bqn-4.09")}" beside X3D-M, that is, {light.printed / x3d.printed:.2f} times by the prints
            and {light.full / x3d.full:.2f} times in full; and "{costs.claim("bqn-4.11")}" of TSM-ResNet-50 on sixteen
            frames, {light.printed / tsm.printed:.1%} and {light.full / tsm.full:.1%}. Its {light.text} G and
            {weights.text} M are of different networks: the one that takes the former has {g(same)} M.
        """),
    ]


def _flow_networks(costs: Costs) -> list[str]:
    flow = [costs.at("bqn-1", label, "extra_gmacs") for label in ("FlowNetC", "FlowNetS")]
    others = [costs.at("bqn-1", label, "extra_gmacs") for label in ("PA", "MBPM")]
    shown = [*flow, *others]
    present = [cost.recount(PLAIN, cost.cell.variant) for cost in shown]
    check(all(cost.verdict.reproduced for cost in shown), "the representations' costs are reproduced")
    check(all(cost.cell.convention == "fvcore_2021" for cost in flow), "FlowNet is counted under the old rule")
    check(flow[0].side == flow[1].side > others[0].side == others[1].side, "FlowNet is counted on larger crops")
    check(all(c.printed > now > c.full for c, now in zip(flow, present, strict=False)), "the old rule counts more")
    return [
        paragraph(f"""
            A transposed convolution multiplies its kernel with every position of its input. Early in 2021 fvcore
            counted it like an ordinary one, over the positions of its output, of which there are four times as many at
            stride two, and so {flow[0].text} and {flow[1].text} G come about. By the present rule the same networks
            take {g(present[0])} and {g(present[1])} G. They are also counted on crops of {flow[0].side} pixels, where
            the representations beside them have {others[0].side}; there FlowNet takes {g(flow[0].full)} and
            {g(flow[1].full)} G.
        """),
        comparison(shown, present_rule_on_that_crop=present),
        paragraph(f"""
            That MBPM comes "{costs.claim("bqn-1.04")}" is true by any count: FlowNetC takes
            {flow[0].printed / others[1].printed:.0f} times as much by the prints and
            {flow[0].full / others[1].full:.0f} times in full.
        """),
    ]


def _tvnet(costs: Costs) -> list[str]:
    operations, weights = costs.at("bqn-1", "TVNet", "extra_gmacs"), costs.at("bqn-1", "TVNet", "extra_mparams")
    appearance = costs.at("bqn-1", "PA", "extra_gmacs")
    many, few = (cost.cell.variant["model.tvnet.iterations"] for cost in (operations, weights))
    used = operations.config.model_dump()["model"]["tvnet"]["iterations"]
    weights_then = weights.recount(PLAIN, operations.cell.variant)
    operations_then = operations.recount(PLAIN, weights.cell.variant)
    check(operations.verdict.reproduced and weights.verdict.reproduced, "TVNet's two costs have a reading each")
    check(many > 2 * few and weights_then > 2 * weights.printed, "many iterations have too many parameters")
    check(operations.full < operations_then < operations.printed / 2, "few iterations take too little")
    check(operations.full < appearance.full < operations.printed, "TVNet takes less than PA, and is printed above it")
    return [
        paragraph(f"""
            TVNet unrolls an optimisation, and both of its costs grow with the number of iterations, which is not
            printed. {operations.text} G are those of {many} iterations, {weights.text} parameters those of {few}. With
            {many} there would be {shown(weights_then, weights)} parameters, with {few} it would take
            {g(operations_then)} G. With the {used} that are trained here, the default of a released port, it takes
            {g(operations.full)} G and stands below Persistent Appearance, above which it is printed.
        """),
        comparison([operations, weights, appearance]),
    ]


def _dynamic_appearance(costs: Costs) -> list[str]:
    base, small = (costs.at("da-1", f"X3D-XS{row}", "gmacs") for row in (" | RGB", " (ours) | DA S=4,T=8"))
    frames = [costs.at("da-4b", f"T={count},D=1", "gmacs") for count in (4, 8, 16)]
    coarse, dense = (costs.at("da-4a", f"s={stride},k=7x7,C'=24", "gmacs") for stride in (4, 1))
    nl = costs.tables["da-1"].row("NL I3D | RGB").printed["gmacs"]
    eight = frames[1]
    check(all(cost.verdict.reproduced for cost in (base, small, *frames, coarse)), "X3D with PWTP is reproduced")
    check(all(c.cell.variant == {AFTER_STEM: True} for c in (small, *frames)), "the mean is counted after the stem")
    check(base.full < eight.full < eight.verdict.count, "PWTP takes something, and less than is printed")
    return [
        paragraph(f"""
            PWTP ends in a mean over the frames of a segment, and the first convolution of X3D is linear: with the mean
            before or after it, the network computes the same. The print is that of after, where the convolution runs on
            every frame: {eight.text} G, where {g(eight.full)} will do. In front of X3D-XS, which takes {g(base.full)}
            G, PWTP adds {g(eight.full - base.full)} and not {g(eight.verdict.count - base.full)} G.
        """),
        comparison([base, *frames, small, coarse, dense]),
        paragraph(f"""
            In PWTP "{costs.claim("da-4a.04")} {costs.claim("da-4a.05")}" of a stride of one, that is,
            {coarse.printed / dense.printed:.0%} by the prints and {coarse.full / dense.full:.0%} in full. The
            operations "{costs.claim("da-1.07")}" than those of NL I3D are {small.text} G beside the {nl:.0f} that
            others print for it; what the network needs is {nl / small.full:.0f} times fewer.
        """),
    ]


AFTER_STEM = "model.dynamic_appearance.average_after_stem"


def _vision_transformer(costs: Costs) -> list[str]:
    vit, resnet = costs.at("da-1", "ViT-B | RGB", "gmacs"), costs.at("da-1", "TSM | RGB", "gmacs")
    views, appearance = (costs.at("da-2", label, "gmacs_video") for label in ("ViT-B", "DA_8x8 ViT-B"))
    check([vit.cell.convention, resnet.cell.convention] == ["two_per_mac", PLAIN], "ViT and ResNet differ in unit")
    check(all(cost.verdict.reproduced for cost in (vit, resnet, views)), "ViT-B is reproduced")
    check(not appearance.verdict.reproduced, "ViT-B with dynamic appearance is not reproduced")
    check(appearance.gives(views.verdict.count + appearance.full - views.full), "PWTP is added in MACs")
    check(vit.full / resnet.full < vit.printed / resnet.printed, "ViT-B is nearer to ResNet-50 than is printed")
    return [
        paragraph(f"""
            The {vit.text} G of ViT-B are two operations per MAC, without the two products of attention, which the
            counter did not see; the CNNs beside it are in MACs. In MACs, and with attention, ViT-B takes {g(vit.full)}
            G. It is printed as {vit.printed / resnet.printed:.1f} times the TSM-ResNet-50 of the same table and takes
            {vit.full / resnet.full:.1f} times as much. With dynamic appearance it is printed, over all views, as
            {appearance.text} G, {appearance.printed - views.printed:.0f} more than without, which is PWTP in MACs on
            top of ViT-B in operations. By ViT-B's own convention it is {g(appearance.verdict.count)}.
        """),
        comparison([vit, resnet, views, appearance]),
    ]


def _crops(costs: Costs) -> list[str]:
    small, deep, appearance = (costs.at("da-7", label, "gmacs") for label in ("TSM R50", "TSM R101", "DA TSM R50"))
    bare = deep.recount("fvcore_core")
    large = [cost.recount(PLAIN, {"data.size": small.side}) for cost in (small, deep, appearance)]
    check(deep.side < small.side == appearance.side, "ResNet-101 is counted on a smaller crop")
    check(bare < deep.printed < deep.full, "the print of ResNet-101 lies between two counts")
    check(large[2] / large[1] < appearance.printed / deep.printed, "the mixed crops make ResNet-101 look light")
    return [
        paragraph(f"""
            Where dynamic appearance is compared with heavier networks, ResNet-50 is counted on crops of {small.side}
            pixels and ResNet-101 on {deep.side}: its {deep.text} G lie between {g(bare)} without batch normalisation
            and {g(deep.full)} with it. On the larger crop it takes {g(large[1])} G.
        """),
        comparison([small, deep, appearance], **{f"at_{small.side}_pixels": large}),
        paragraph(f"""
            The mixture is to the authors' own disadvantage. Dynamic appearance on ResNet-50 is better than ResNet-101
            "{costs.claim("da-7.02")}", {appearance.printed / deep.printed:.0%} of it by the prints and
            {large[2] / large[1]:.0%} on one crop.
        """),
    ]


def _comprehensive_motion(costs: Costs) -> list[str]:
    ours = [costs.at("cmr-1", f"CMR (ours) | ResNet2D-50 | {clip}", "gmacs_video") for clip in ("8f", "16f")]
    table = [costs.at("cmr-3", label, "gmacs") for label in ("1", "4", "8", "16")]
    weights = [costs.at("cmr-3", label, "mparams").full for label in ("1", "16")]
    base = costs.at("cmr-4", "Res50+TIM", "gmacs")
    bare = [cost.recount("fvcore_core") for cost in table[2:]]
    dense = table[2].recount(PLAIN, {"model.sme.form": "dense"})
    spread_printed, spread = (max(v) - min(v) for v in ([c.printed for c in table], [c.full for c in table]))
    check(all(cost.verdict.reproduced for cost in (*ours, table[2])), "CMR's own rows are reproduced")
    check(not table[2].gives(dense), "a dense convolution in SME does not give the print")
    check(not any(table[i].verdict.reproduced for i in (0, 1, 3)), "the other rows of Table 3 are not reproduced")
    check(table[3].printed < base.full < table[3].full, "one print of Table 3 is below the backbone")
    check(int(bare[1]) == int(bare[0]) == int(table[3].printed), "without norms two rows would be printed alike")
    check(spread < 0.05 * spread_printed, "the networks of Table 3 take nearly the same")
    return [
        paragraph(f"""
            The text gives SME a 1x1 convolution over all channels; so built, CMR takes {g(dense)} G. The printed
            {ours[0].text} G are reached with one weight a channel. The table on CME's reduction of channels has
            {", ".join(cost.text for cost in table)} G. CME averages over positions before its layers, so that the four
            networks lie within {g(spread)} G and not {spread_printed:.0f}. The last print is below the backbone with
            TIM, {g(base.full)} G; without batch normalisation it would be {g(bare[1])} truncated, but then the row
            above, {g(bare[0])}, would be {table[3].text} as well.
        """),
        comparison([*ours, *table]),
        paragraph(f"""
            So the accuracies of that table are of equal operations, which it does not look like. What the reduction
            changes is the parameters: {g(weights[0])} M without it and {g(weights[1])} M at its strongest.
        """),
    ]


def _classifiers(costs: Costs) -> list[str]:
    borrowed = [
        costs.at("thesis-4.6", "SS V1 | baseline", "mparams"),
        costs.at("bqn-4", "TSM R50 | R50 | 16x1x1", "mparams"),
        costs.at("msnet-1", "TSM | 8x1", "mparams"),
    ]
    own = costs.at("da-1", "TSM | RGB", "mparams")
    shown = [*borrowed, own]
    kinetics = [cost.recount(PLAIN, {"data.dataset": "kinetics400"}) for cost in shown]
    check(len({cost.full for cost in shown}) == 1, "four rows are one ResNet-50")
    check(all(cost.gives(kinetics[0]) and not cost.gives(cost.full) for cost in borrowed), "three have 400 classes")
    check(own.gives(own.full) and not own.gives(kinetics[0]), "one has the classes of its data")
    return [
        paragraph(f"""
            On Something-Something, with {own.config.data.num_classes} classes, TSM-ResNet-50 has {g(own.full)} M
            parameters. Three papers print those of the network for Kinetics, {g(kinetics[0] - own.full)} M more, one
            its own. A module that is compared across papers seems to add, or to save, that much.
        """),
        comparison(shown, with_the_classes_of_Kinetics=kinetics),
    ]


@dataclass(frozen=True)
class Story:
    """A section on one way of counting. `tell` gives its blocks; it is told where all `tables` are there."""

    title: str
    tables: tuple[str, ...]
    tell: Callable[[Costs], list[str]]


def _story(title: str, tell: Callable[[Costs], list[str]], tables: str) -> Story:
    return Story(title, tuple(tables.split()), tell)


STORIES = (
    _story(
        "One ResNet-50, five prints",
        _one_resnet,
        "bqn-3a bqn-3b bqn-4 bqn-5 da-1 da-2 da-7 msnet-1 msnet-7 thesis-4.6",
    ),
    _story("Attention that costs nothing", _matrix_products, "thesis-4.3 thesis-4.6"),
    _story("MotionSqueeze: what a batch normalisation is", _motion_squeeze, "msnet-1 msnet-3 msnet-5 msnet-7"),
    _story("BQN: the filter that its tables leave out", _busy_quiet, "bqn-1 bqn-3b bqn-3d bqn-4"),
    _story("FlowNet: a rule that has changed", _flow_networks, "bqn-1"),
    _story("TVNet: two costs, two networks", _tvnet, "bqn-1"),
    _story("PWTP: a mean taken too late", _dynamic_appearance, "da-1 da-4a da-4b"),
    _story("ViT: two operations beside one", _vision_transformer, "da-1 da-2"),
    _story("ResNet-101: two crops in one table", _crops, "da-7"),
    _story("CMR: one weight a channel", _comprehensive_motion, "cmr-1 cmr-3 cmr-4"),
    _story("Parameters: a classifier of another data set", _classifiers, "bqn-4 da-1 msnet-1 thesis-4.6"),
)
