"""Writes what was measured as a page and a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.table import Peer

OURS = "#1f6feb"
OTHERS = "#9aa4af"


def write(found: dict[str, Any], chosen: Sequence[Peer], folder: Path) -> None:
    """Write peers.md and peers.svg."""
    folder.mkdir(exist_ok=True)
    draw(found, chosen, folder / "peers.svg")
    (folder / "peers.md").write_text(page(found, chosen))


def page(found: dict[str, Any], chosen: Sequence[Peer]) -> str:
    """Return the page in Markdown."""
    medians, waits, topic = found["medians"], found["latency"], found["topic"]
    ours = medians[chosen[0].name]["cpu_us_a_row"]
    rows = [
        "| who | rows/s | second half | CPU us a row | times ours | MB | p50 ms | p99 ms | how |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for peer in chosen:
        each, wait = medians[peer.name], waits.get(peer.name)
        delays = f"{wait['p50_ms']:.1f} | {wait['p99_ms']:.1f}" if wait else " | "
        rows.append(
            f"| {peer.name} | {each['rows_a_second']:,.0f} | "
            f"{each['second_half_rows_a_second']:,.0f} | {each['cpu_us_a_row']:.1f} | "
            f"{each['cpu_us_a_row'] / ours:.1f} | {each['rss_mb']:.0f} | {delays} | {peer.note} |"
        )
    machine = found["machine"]
    needs = sorted({need for peer in chosen for need in found["needs"][peer.name]})
    worst = max(each["largest_difference"] for each in medians.values())
    runs = len(next(iter(found["runs"].values())))
    made = (
        f"Made by `{found['command']}` on {found['made'][:10]}; every run is in "
        "`benchmarks/peers/figures.json`, every job in `benchmarks/peers/jobs/`."
    )
    what = (
        f"{topic['rows']:,.0f} JSON events of {topic['bytes_a_row']:.0f} bytes on one partition, "
        f"one in a thousand broken, {topic['alerts']:,} alerts; the same ONNX model on one thread; "
        f"medians of {runs} runs, in turns; the broker has the same cores "
        f"({machine['processor']}, {machine['memory']}, Python {machine['python']}). Where the "
        "cores are full rows/s say what the broker left over: CPU a row is what a scorer costs. "
        "On another machine the absolute figures are others; the ratios are what holds."
    )
    how = (
        f"Each gave the same alerts, probabilities at most {worst:.1e} apart: with other alerts "
        "nothing would have been written. Rows/s and CPU (user and system time of the whole "
        "process) are measured from outside, from the first alert to the last; the second half is "
        "what a Java does once it is warm. Each commits its offsets ten times a second (Bytewax "
        "none), with `linger.ms=0`, and the batches and queues that its own manual names. Latency "
        "is at 1,000 events/s of which 4 % alert, from before the send to the reader of what is "
        "committed."
    )
    picture = "![CPU a row and rows a second, each beside its peers](peers.svg)"
    versions = f"Versions: {', '.join(needs)}."
    table = "\n".join(rows)
    return (
        f"# Beside its peers\n\n{made}\n\n{picture}\n\n{table}\n\n{what}\n\n{how}\n\n{versions}\n"
    )


def draw(found: dict[str, Any], chosen: Sequence[Peer], file: Path) -> None:
    """Draw CPU a row and rows a second as bars."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "peers"  # the same picture for the same figures
    from matplotlib import pyplot as plt

    names = [peer.name for peer in chosen][::-1]
    colours = [OURS if name.startswith("stream-scorer") else OTHERS for name in names]
    figure, axes = plt.subplots(1, 2, figsize=(11, 0.36 * len(names) + 1.4), sharey=True)
    for axis, key, title, form in (
        (axes[0], "cpu_us_a_row", "CPU a row, us (less is better)", "{:.1f}"),
        (axes[1], "rows_a_second", "rows a second (more is better)", "{:,.0f}"),
    ):
        values = [found["medians"][name][key] for name in names]
        bars = axis.barh(names, values, color=colours)
        axis.bar_label(bars, [form.format(value) for value in values], padding=3, fontsize=8)
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_xlim(0, max(values) * 1.18)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
