"""The pages that opening TensorFlow's library has touched are let go of, and only those."""

import subprocess
import sys

import pytest

from relentless.serving.model_server.runtime.pages import clean_mappings, release

SMAPS = b"""\
7f00-7f10 r--p 00000000 08:01 1   /site/libtensorflow_cc.so.2
Size:                  4 kB
Rss:                   4 kB
Anonymous:             0 kB
7f10-7f30 r-xp 00010000 08:01 1   /site/libtensorflow_cc.so.2
Anonymous:             0 kB
7f30-7f40 r--p 00030000 08:01 1   /site/libtensorflow_cc.so.2
Anonymous:            12 kB
7f40-7f50 rw-p 00040000 08:01 1   /site/libtensorflow_cc.so.2
Anonymous:             0 kB
7f50-7f60 r--p 00000000 08:01 2   /site/other.so
Anonymous:             0 kB
7f60-7f70 rw-p 00000000 00:00 0 \n\
Anonymous:             4 kB
"""


def test_only_mappings_that_hold_nothing_but_the_file_are_let_go_of() -> None:
    found = list(clean_mappings(SMAPS, "libtensorflow"))
    assert found == [(0x7F00, 0x10), (0x7F10, 0x20)]
    assert not list(clean_mappings(b"", "libtensorflow"))
    assert not list(clean_mappings(b"what is this\nAnonymous: 0 kB", "libtensorflow"))


def test_a_library_that_is_not_there_has_no_pages() -> None:
    assert release("no such library") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's smaps")
def test_an_open_library_is_resident_only_where_it_is_used() -> None:
    code = (
        "import re, pathlib\n"
        "from relentless.serving.model_server.runtime.capi import library\n"
        "print(library().TF_Version().decode())\n"
        "text = pathlib.Path('/proc/self/status').read_text()\n"
        "print(int(re.search(r'RssFile:\\s+(\\d+)', text)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    _, kilobytes = done.stdout.split()
    # Without it, 310,000: the tables of two libraries.
    assert int(kilobytes) < 150_000
