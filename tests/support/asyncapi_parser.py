"""AsyncAPI's own parser.

    python -m tests.support.asyncapi_parser

installs it ahead of the tests.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tests.support.npm_project import NpmProject, NpmProjectError

PARSER = NpmProject(Path(__file__).parent / "asyncapi")


def asyncapi_verdict(document: str) -> dict[str, Any]:
    """What the parser says about the text of a document; `asyncapi/validate.mjs` states the shape."""
    return json.loads(PARSER.validate(document))


if __name__ == "__main__":
    try:
        PARSER.install()
    except NpmProjectError as error:
        sys.exit(str(error))
