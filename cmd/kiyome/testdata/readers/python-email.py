"""Prints the files that Python's email package sees in messages.

Every argument is a message. A line is printed for each file in it: the
argument, and the file in base64. A message that makes the package fail
is told on the standard error.
"""

import base64
import binascii
import email
import email.policy
import sys


def leaves(message):
    """Gives what is decoded of each part, and the text around the parts."""
    for part in message.walk():
        data = part.get_payload(decode=True)
        if data is not None:
            yield data
        for text in (part.preamble, part.epilogue):
            if text:
                yield text.encode("utf-8", "surrogateescape")


def uuencoded(text):
    """Gives the uuencoded files in a text."""
    data = None
    for line in text.splitlines():
        if line.startswith(b"begin "):
            data = b""
        elif data is not None and line.strip() == b"end":
            yield data
            data = None
        elif data is not None:
            data += uuline(line)
    if data:
        yield data


def uuline(line):
    """Decodes a line, or as much of it as its first character tells of."""
    size = (line[0] - 32 & 63) if line else 0
    for part in (line, line[: (size * 4 + 5) // 3]):
        try:
            return binascii.a2b_uu(part)
        except binascii.Error:
            continue
    return b""


def show(name):
    with open(name, "rb") as f:
        raw = f.read()
    for policy in (email.policy.compat32, email.policy.default):
        for leaf in leaves(email.message_from_bytes(raw, policy=policy)):
            for data in (leaf, *uuencoded(leaf)):
                print(name, base64.b64encode(data).decode())


for name in sys.argv[1:]:
    try:
        show(name)
    except Exception as e:
        print(name, repr(e), file=sys.stderr)
