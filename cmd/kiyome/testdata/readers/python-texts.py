"""Prints the texts that Python's email package shows with messages.

Every argument is a message. A line is printed for each part that is a text
and no attachment: the argument, and the text in base64, in UTF-8. A message
that makes the package fail is told on the standard error.
"""

import base64
import email
import email.policy
import sys


def show(name):
    with open(name, "rb") as f:
        message = email.message_from_bytes(f.read(), policy=email.policy.default)
    for part in message.walk():
        if part.get_content_type() == "text/plain" and not part.is_attachment():
            print(name, base64.b64encode(part.get_content().encode("utf-8", "replace")).decode())


for name in sys.argv[1:]:
    try:
        show(name)
    except Exception as e:
        print(name, repr(e), file=sys.stderr)
