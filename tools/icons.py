"""Icons, as pictures of a few strokes: data, so that no host fetches anything to show them.

A middle grey, which is seen on light and on dark. Tools that programs alone call have none: every
client pays for the list. No space stands in an address: strict clients refuse one.
"""

from typing import Final

_SVG: Final = (
    "data:image/svg+xml,%3Csvg%20xmlns='http://www.w3.org/2000/svg'%20viewBox='0,0,8,8'%3E"
    "%3Cpath%20fill='%23888'%20d='{path}'/%3E%3C/svg%3E"
)

HUB: Final = _SVG.format(path="M0,8V5h2v3zM3,8V0h2v8zM6,8V3h2v5z")
"""The server's own: bars."""

TOOLS: Final = {
    tool: _SVG.format(path=path)
    for path, tools in {
        "M0,0h8v2H0zM0,3h5v2H0zM0,6h7v2H0z": ("get_daily_context",),
        "M0,8V5h2v3zM3,8V0h2v8zM6,8V3h2v5z": ("get_signals",),
        "M0,4l4-4,4,4-4,4z": ("explain_signal",),
        "M1,0l7,4-7,4z": ("run_agent",),
        "M0,0h3v8H0zM5,0h3v8H5z": ("set_trading_halt",),
    }.items()
    for tool in tools
}
"""By the tool's name."""
